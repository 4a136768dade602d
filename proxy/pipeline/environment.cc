#include "proxy/pipeline/environment.h"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"

namespace countersign::pipeline {

using buffer::CloseReason;

namespace {

constexpr std::chrono::milliseconds kShedInterval{100};
constexpr int kShedAtOnce = 64;
// Of descriptors there may be few in all.
constexpr int kShedForDescriptors = 8;
constexpr absl::string_view kDescriptors = "file_descriptors";
// Beyond what any process lives, within what a timer counts: authorities write the year 9999 for
// `never` (RFC 5280, section 4.1.2.5).
constexpr absl::Duration kFarAway = absl::Hours(24 * 3650);

}  // namespace

Session::Session(Environment& env)
    : env_(env), id_(env.NextId()), started_at_(env.dispatcher().now()) {}

Environment::Environment(event::Dispatcher& dispatcher, Settings settings,
                         config::Discovery& discovery, stats::Registry& stats)
    : dispatcher_(dispatcher),
      settings_(std::move(settings)),
      report_(stats, dispatcher.clock(), settings_.workload, settings_.workload_namespace),
      pool_(dispatcher, verifier_, *this,
            upstream::HbonePool::Options{
                settings_.max_streams_per_tunnel, std::chrono::minutes(5), {}}),
      clusters_(dispatcher, verifier_, pool_, *this, stats),
      destinations_(discovery, clusters_),
      application_routes_(clusters_, settings_.connect_timeout),
      overload_({settings_.max_connections, settings_.max_requests, settings_.max_buffered_bytes}),
      http_(dispatcher, overload_, stats,
            filter::HttpSinks{settings_.access_log, settings_.span_sink}) {
  clusters_.SetWorkload(settings_.workload, settings_.workload_namespace);
}

Environment::~Environment() {
  // Not through DeferredDelete: what dies later than the pools could not close its streams.
  draining_ = false;
  while (sessions_ != nullptr) {
    Session* session = sessions_;
    Unlink(*session);
    delete session;
  }
}

tls::TlsOptions Environment::ClientTls(const tls::AlpnList& alpn,
                                       const spiffe::SpiffeId& expected) {
  return {client_context_, alpn, expected, &verifier_, &dispatcher_.clock()};
}

tls::TlsOptions Environment::ServerTls(const tls::AlpnList& alpn) {
  return {server_context_, alpn, {}, &verifier_, &dispatcher_.clock()};
}

void Environment::OnProxyConfig(std::shared_ptr<const config::ProxyConfig> config) {
  config_ = std::move(config);
  clusters_.SetLocality(config_->locality);
  ++config_generation_;
  ForEach([](Session& session) { session.Reevaluate(); });
  ReleaseHeld();
}

void Environment::OnSecret(std::shared_ptr<const identity::SecretSnapshot> secret) {
  auto client = tls::TlsContext::Create(tls::Role::kClient, secret);
  auto server = tls::TlsContext::Create(tls::Role::kServer, secret);
  if (!client.ok() || !server.ok()) {
    // The snapshot in force stays: a broken one must not take working connections away.
    spdlog::error("kept the previous certificate: {}",
                  std::string((client.ok() ? server : client).status().message()));
    return;
  }
  secret_ = std::move(secret);
  client_context_ = *std::move(client);
  server_context_ = *std::move(server);
  report_.SetIdentity(*secret_);
  pool_.CloseIf([this](const spiffe::PeerSvid& peer) { return Denied(peer); },
                CloseReason::kDenied);
  pool_.SetContext(client_context_);
  clusters_.CloseIf([this](const spiffe::PeerSvid& peer) { return Denied(peer); },
                    CloseReason::kDenied);
  clusters_.SetContext(client_context_);
  ForEach([](Session& session) { session.Reevaluate(); });
  ReleaseHeld();
}

void Environment::OnDestination(const net::Address& address,
                                std::shared_ptr<const config::Destination> destination) {
  destination_routes_.OnChange(address);
  destinations_.OnDestination(address, std::move(destination));
}

bool Environment::Denied(const spiffe::PeerSvid& peer) const {
  return secret_ != nullptr && secret_->deny_list->Denies(peer.id, peer.issuer, peer.serial);
}

std::chrono::milliseconds Environment::Until(absl::Time time) const {
  const absl::Duration left = time - dispatcher_.clock().Wall();
  return absl::ToChronoMilliseconds(
      absl::Ceil(std::clamp(left, absl::ZeroDuration(), kFarAway), absl::Milliseconds(1)));
}

std::chrono::milliseconds Environment::TrustLeft(const spiffe::PeerSvid& peer) const {
  return Until(peer.not_after + absl::FromChrono(settings_.expiry_grace));
}

std::string Environment::ExplainExpiry(const spiffe::PeerSvid& peer) const {
  return absl::StrCat("the certificate ", Hex(peer.serial), " of ", peer.id.ToString(),
                      ", by which the connection was made, expired at ",
                      absl::FormatTime(peer.not_after, absl::UTCTimeZone()), ", and ",
                      absl::FormatDuration(absl::FromChrono(settings_.expiry_grace)),
                      " of grace (--expiry-grace) are over; a new connection is judged by the "
                      "certificate of today");
}

bool Environment::IsOwnListener(const net::Address& address) {
  return settings_.own_ports.contains(address.port()) &&
         (address.ip().IsUnspecified() || IsLocal(address.ip()));
}

bool Environment::HasRoomFor(absl::string_view who) {
  using Limit = filter::Overload::Limit;
  const Limit limit = overload_.RefusesConnection();
  if (limit == Limit::kNone) return true;
  std::string sentence = absl::StrCat("refused ", who, ": ");
  switch (limit) {
    case Limit::kNone:
      break;
    case Limit::kConnections:
      absl::StrAppend(&sentence, "the limit of ", settings_.max_connections,
                      " connections of one worker is reached");
      break;
    case Limit::kRequests:
      absl::StrAppend(&sentence, "the limit of ", settings_.max_requests,
                      " requests at a time of one worker is reached");
      break;
    case Limit::kMemory:
      absl::StrAppend(&sentence, settings_.max_buffered_bytes >> 20,
                      " MiB are on their way through this worker, and their readers do not take "
                      "them");
      break;
  }
  report_.OnOverload(filter::LimitLabel(limit), sentence);
  if (const Limit shed = overload_.ShedsIdle(); shed != Limit::kNone) {
    ShedIdle(filter::LimitLabel(shed), kShedAtOnce);
  }
  return false;
}

void Environment::OnRequestRefused(absl::string_view limit, absl::string_view sentence) {
  report_.OnOverload(limit, sentence);
  if (const auto shed = overload_.ShedsIdle(); shed != filter::Overload::Limit::kNone) {
    ShedIdle(filter::LimitLabel(shed), kShedAtOnce);
  }
}

void Environment::OnNoDescriptor(absl::string_view sentence) {
  report_.OnOverload(kDescriptors, sentence);
  ShedIdle(kDescriptors, kShedForDescriptors);
}

void Environment::ShedIdle(absl::string_view limit, int at_most) {
  // A flood of connections must not make us walk over all of them each time.
  if (dispatcher_.now() - shed_at_ < kShedInterval) return;
  shed_at_ = dispatcher_.now();
  int closed = 0;
  for (Session* session = sessions_; session != nullptr && closed < at_most;) {
    Session* const next = session->next_;
    if (session->CloseIfIdle()) ++closed;
    session = next;
  }
  if (closed == 0) return;
  report_.OnOverload(limit,
                     absl::StrCat("closed ", closed, " connections without requests to make room"));
}

void Environment::Adopt(std::unique_ptr<Session> session) {
  Session* added = session.release();
  added->next_ = sessions_;
  if (sessions_ != nullptr) sessions_->previous_ = added;
  sessions_ = added;
  overload_.OnConnections(1);
  if (added->is_connection()) {
    report_.OnConnections(added->inbound(), 1);
  }
  if (added->inbound()) ++inbound_;
}

void Environment::Unlink(Session& session) {
  if (session.previous_ != nullptr) {
    session.previous_->next_ = session.next_;
  } else {
    sessions_ = session.next_;
  }
  if (session.next_ != nullptr) session.next_->previous_ = session.previous_;
  session.next_ = session.previous_ = nullptr;
  overload_.OnConnections(-1);
  if (session.is_connection()) report_.OnConnections(session.inbound(), -1);
  if (session.inbound()) --inbound_;
}

void Environment::LogAccess(const Session& session) {
  ConnectionInfo info;
  session.Describe(&info);
  const absl::Duration age = absl::FromChrono(dispatcher_.now() - session.started_at());
  access_log::Record record;
  record.start = dispatcher_.clock().Wall() - age;
  record.duration = age;
  record.inbound = session.inbound();
  record.downstream = info.downstream;
  record.destination = info.destination;
  record.upstream = info.upstream;
  record.security = info.security;
  record.peer_id = info.peer_id;
  record.peer_serial = info.peer_serial;
  record.bytes_received = info.bytes_in;
  record.bytes_sent = info.bytes_out;
  if (session.failure() != CloseReason::kNone) {
    record.flags = buffer::CloseReasonFlag(session.failure());
    record.reason = buffer::CloseReasonLabel(session.failure());
  }
  settings_.access_log->Write(record);
}

void Environment::Remove(Session& session) {
  if (settings_.access_log != nullptr && session.is_connection() && !session.logs_requests()) {
    LogAccess(session);
  }
  Unlink(session);
  dispatcher_.DeferredDelete(std::unique_ptr<event::Deferred>(&session));
  CheckDrained();
}

bool Environment::Hold(Held& held) {
  if (held_.size() >= settings_.max_held_connections) return false;
  held_.push_back(&held);
  report_.OnHeld(1);
  return true;
}

void Environment::Unhold(Held& held) {
  const auto it = std::find(held_.begin(), held_.end(), &held);
  if (it == held_.end()) return;
  held_.erase(it);
  report_.OnHeld(-1);
}

void Environment::ReleaseHeld() {
  // Each looks for itself whether it can go on, and holds again if not.
  std::vector<Held*> released;
  released.swap(held_);
  report_.OnHeld(-static_cast<int>(released.size()));
  for (Held* held : released) held->OnEnvironmentChanged();
}

void Environment::ForEach(const std::function<void(Session&)>& call) {
  // A session that removes itself, or others, lives on until the end of the turn.
  std::vector<Session*> all;
  for (Session* session = sessions_; session != nullptr; session = session->next_) {
    all.push_back(session);
  }
  for (Session* session : all) call(*session);
}

void Environment::StartDrain(std::function<void()> drained) {
  draining_ = true;
  drained_ = std::move(drained);
  ForEach([](Session& session) { session.StartDrain(); });
  CheckDrained();
}

void Environment::CheckDrained() {
  if (draining_ && inbound_ == 0 && drained_ != nullptr) std::exchange(drained_, nullptr)();
}

void Environment::Collect(size_t limit, std::vector<ConnectionInfo>* out) const {
  for (const Session* session = sessions_; session != nullptr && out->size() < limit;
       session = session->next_) {
    if (!session->is_connection()) continue;
    ConnectionInfo info;
    info.id = session->id_;
    info.inbound = session->inbound();
    info.age_seconds =
        std::chrono::duration<double>(dispatcher_.now() - session->started_at_).count();
    session->Describe(&info);
    out->push_back(std::move(info));
  }
}

void Environment::OnTunnelOpened(const upstream::TunnelConnection& tunnel) {
  report_.OnHandshake(/*server=*/false);
  report_.OnTunnels(/*outbound=*/true, 1);
  report_.OnPeer(/*outbound=*/true, *tunnel.peer(), /*began=*/true);
}

void Environment::OnPeerConnected(const spiffe::PeerSvid& peer) {
  report_.OnHandshake(/*server=*/false);
  report_.OnPeer(/*outbound=*/true, peer, /*began=*/true);
}

void Environment::OnPeerDisconnected(const spiffe::PeerSvid& peer) {
  report_.OnPeer(/*outbound=*/true, peer, /*began=*/false);
}

void Environment::OnHandshakeFailed(const net::Address& address, absl::string_view label,
                                    absl::string_view sentence) {
  report_.OnHandshakeFailed(/*server=*/false, address, label, sentence);
}

void Environment::OnTunnelEnded(const upstream::TunnelConnection& tunnel,
                                const net::Address& address, const spiffe::SpiffeId& expected,
                                CloseReason reason, const std::string& explanation) {
  if (tunnel.tls().open()) {
    report_.OnTunnels(/*outbound=*/true, -1);
    report_.OnPeer(/*outbound=*/true, *tunnel.peer(), /*began=*/false);
  }
  // TLS 1.3 lets a client finish before the server has judged its certificate, so a refusal may
  // come as an alert on an open tunnel.
  if (reason == CloseReason::kTlsHandshake || reason == CloseReason::kTlsAlert ||
      reason == CloseReason::kHandshakeTimeout) {
    report_.OnHandshakeFailed(/*server=*/false, address, tunnel.tls().FailureLabel(),
                              absl::StrCat(explanation, " (peer: ", expected.ToString(), ")"));
  }
}

}  // namespace countersign::pipeline
