#include "proxy/upstream/hbone_pool.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/net/alpn.h"

namespace countersign::upstream {

using buffer::CloseReason;
using http::h2::TunnelSession;
using http::h2::TunnelStream;

void HbonePool::Request::Cancel() {
  if (queue_ == nullptr) return;
  queue_->erase(std::find(queue_->begin(), queue_->end(), this));
  queue_ = nullptr;
}

HbonePool::HbonePool(event::Dispatcher& dispatcher, tls::PeerVerifier& verifier, Observer& observer,
                     const Options& options)
    : dispatcher_(dispatcher), verifier_(verifier), observer_(observer), options_(options) {}

HbonePool::~HbonePool() {
  // A request that waits outlives the pool only in error; it is left without a queue either way.
  for (auto& [key, group] : groups_) {
    for (auto& member : group.members) {
      for (Request* request : member->waiting) request->queue_ = nullptr;
    }
  }
}

void HbonePool::SetContext(std::shared_ptr<const tls::TlsContext> context) {
  context_ = std::move(context);
  std::vector<Member*> all;
  for (auto& [tunnel, member] : by_tunnel_) all.push_back(member);
  for (Member* member : all) {
    member->retired = true;
    CheckIdle(*member);
  }
}

int HbonePool::CloseIf(const std::function<bool(const spiffe::PeerSvid&)>& denied,
                       CloseReason reason) {
  std::vector<TunnelConnection*> found;
  for (auto& [tunnel, member] : by_tunnel_) {
    if (tunnel->open() && tunnel->peer() != nullptr && denied(*tunnel->peer())) {
      found.push_back(member->tunnel.get());
    }
  }
  for (TunnelConnection* tunnel : found) tunnel->Abort(reason);
  return static_cast<int>(found.size());
}

HbonePool::Member* HbonePool::Find(const TunnelConnection& tunnel) {
  const auto it = by_tunnel_.find(&tunnel);
  return it == by_tunnel_.end() ? nullptr : it->second;
}

bool HbonePool::HasRoom(const Member& member) const {
  if (member.retired || member.tunnel->closed() || member.tunnel->session().draining()) {
    return false;
  }
  const TunnelSession& session = member.tunnel->session();
  const uint32_t limit = std::min(options_.max_streams_per_tunnel, session.peer_max_streams());
  return session.active_streams() + member.waiting.size() < limit;
}

void HbonePool::NewStream(const net::Address& tunnel, const spiffe::SpiffeId& identity,
                          const net::Address& destination,
                          std::chrono::milliseconds connect_timeout, Request& request) {
  request.authority_ = destination.ToString();
  if (context_ == nullptr) {
    return request.OnStreamFailed(CloseReason::kHoldTimeout, "this proxy has no certificate yet");
  }
  const Key key{tunnel, identity};
  Group& group = groups_.try_emplace(key, Group{key, {}}).first->second;
  for (auto& member : group.members) {
    if (!HasRoom(*member)) continue;
    if (dispatcher_.clock().Wall() >= member->retire_at) {
      member->retired = true;
      continue;
    }
    if (member->tunnel->open()) return Hand(*member, request);
    member->waiting.push_back(&request);
    request.queue_ = &member->waiting;
    return;
  }
  Connect(group, connect_timeout, request);
}

void HbonePool::Connect(Group& group, std::chrono::milliseconds timeout, Request& request) {
  int error = 0;
  net::Socket socket = net::Socket::Connect(group.key.address, &error);
  if (!socket.valid()) {
    return request.OnStreamFailed(net::ConnectFailure(error),
                                  absl::StrCat("cannot connect to ", group.key.address.ToString(),
                                               ": ", std::strerror(error)));
  }
  socket.SetKeepAlive();
  auto member = std::make_unique<Member>();
  member->group = &group;
  TunnelConnection::Options options;
  options.role = TunnelSession::Role::kClient;
  options.peer = group.key.address;
  options.open_timeout = timeout;
  options.limits = options_.limits;
  tls::TlsOptions tls;
  tls.context = context_;
  tls.alpn = net::kTunnelAlpn;
  tls.expected_id = group.key.identity;
  tls.verifier = &verifier_;
  tls.clock = &dispatcher_.clock();
  member->tunnel =
      std::make_unique<TunnelConnection>(dispatcher_, static_cast<TunnelConnection::Owner&>(*this),
                                         options, std::move(socket), std::move(tls));
  member->retire_at = context_->secret().not_after;
  member->waiting.push_back(&request);
  request.queue_ = &member->waiting;
  by_tunnel_[member->tunnel.get()] = member.get();
  group.members.push_back(std::move(member));
  ++tunnels_;
}

void HbonePool::Hand(Member& member, Request& request) {
  if (member.idle != nullptr) member.idle->Cancel();
  std::unique_ptr<TunnelStream> stream = member.tunnel->session().Open(request.authority_);
  if (stream == nullptr) {
    return request.OnStreamFailed(CloseReason::kTunnelRefused, "the tunnel takes no more streams");
  }
  request.OnStreamReady(std::move(stream), *member.tunnel);
}

void HbonePool::OnTunnelOpen(TunnelConnection& tunnel) {
  Member* member = Find(tunnel);
  member->retire_at = std::min(member->retire_at, tunnel.peer()->not_after);
  observer_.OnTunnelOpened(tunnel);
  while (!member->waiting.empty()) {
    Request* request = member->waiting.front();
    request->Cancel();
    Hand(*member, *request);
    if ((member = Find(tunnel)) == nullptr) return;
  }
  CheckIdle(*member);
}

void HbonePool::OnTunnelRequest(TunnelConnection&, std::unique_ptr<TunnelStream> stream,
                                absl::string_view) {
  // Servers open no streams: nghttp2 refuses before it comes to this.
  stream->Reset();
}

void HbonePool::OnTunnelChanged(TunnelConnection& tunnel) {
  if (Member* member = Find(tunnel); member != nullptr) CheckIdle(*member);
}

void HbonePool::CheckIdle(Member& member) {
  TunnelConnection& tunnel = *member.tunnel;
  if (!tunnel.open() || tunnel.closed() || !member.waiting.empty() ||
      tunnel.session().active_streams() > 0) {
    return;
  }
  if (member.retired || tunnel.session().draining()) return tunnel.CloseGracefully();
  if (member.idle == nullptr) {
    member.idle = std::make_unique<event::Timer>(dispatcher_.timers(), &member, [](void* self) {
      static_cast<Member*>(self)->tunnel->CloseGracefully();
    });
  }
  member.idle->Arm(options_.idle_timeout);
}

void HbonePool::OnTunnelClosed(TunnelConnection& tunnel, CloseReason reason,
                               const std::string& explanation) {
  Member* member = Find(tunnel);
  Group& group = *member->group;
  const Key key = group.key;
  observer_.OnTunnelEnded(tunnel, key.address, key.identity, reason, explanation);
  by_tunnel_.erase(&tunnel);
  --tunnels_;
  const auto it = std::find_if(group.members.begin(), group.members.end(),
                               [member](const auto& m) { return m.get() == member; });
  std::unique_ptr<Member> dying = std::move(*it);
  group.members.erase(it);
  if (group.members.empty()) groups_.erase(key);
  dispatcher_.DeferredDelete(std::move(dying->tunnel));
  while (!dying->waiting.empty()) {
    Request* request = dying->waiting.front();
    request->Cancel();
    request->OnStreamFailed(reason == CloseReason::kFinished ? CloseReason::kTunnelLost : reason,
                            explanation);
  }
}

}  // namespace countersign::upstream
