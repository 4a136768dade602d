#include "proxy/pipeline/inbound_tunnel.h"

#include <errno.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/net/alpn.h"

namespace countersign::pipeline {

namespace {

// Between GOAWAY and the end of an idle tunnel: requests that crossed it on the way are served
// (RFC 9113, section 6.8). Our own clients close first.
constexpr std::chrono::milliseconds kLastRequests{1000};

}  // namespace

using buffer::ByteStream;
using buffer::CloseReason;
using http::h2::TunnelStream;
using upstream::TunnelConnection;

void AcceptTunnel(Environment& env, net::Socket socket, const net::Address& client) {
  if (!env.HasRoomFor("a new inbound tunnel")) return socket.CloseWithReset();
  auto tunnel = std::make_unique<InboundTunnel>(env, std::move(socket), client);
  InboundTunnel* started = tunnel.get();
  env.Adopt(std::move(tunnel));
  started->Start();
}

InboundTunnel::InboundTunnel(Environment& env, net::Socket socket, const net::Address& client)
    : Session(env),
      client_(client),
      socket_(std::move(socket)),
      timer_(env.dispatcher().timers(), this,
             [](void* self) { static_cast<InboundTunnel*>(self)->OnTimeout(); }) {}

InboundTunnel::~InboundTunnel() = default;

// Held until there is a certificate to show and a policy to judge by; then TLS, then requests.
void InboundTunnel::Start() {
  if (env_.secret() == nullptr || env_.config() == nullptr) {
    if (!env_.Hold(*this)) {
      env_.report().OnOverload(
          "held_connections",
          absl::StrCat("refused a tunnel of ", client_.ToString(),
                       ": too many connections wait already for the certificate"));
      socket_.CloseWithReset();
      return Finish();
    }
    held_ = true;
    if (!timer_.armed()) timer_.Arm(env_.settings().hold_timeout);
    return;
  }
  timer_.Cancel();
  TunnelConnection::Options options;
  options.role = http::h2::TunnelSession::Role::kServer;
  options.peer = client_;
  options.local = socket_.LocalAddress().value_or(net::Address());
  options.open_timeout = env_.settings().handshake_timeout;
  tunnel_ = std::make_unique<TunnelConnection>(
      env_.dispatcher(), static_cast<TunnelConnection::Owner&>(*this), options, std::move(socket_),
      env_.ServerTls(net::kTunnelAlpn));
}

void InboundTunnel::OnEnvironmentChanged() {
  held_ = false;
  Start();
}

void InboundTunnel::OnTimeout() {
  if (tunnel_ != nullptr) {
    if (tunnel_->session().draining()) {
      if (tunnel_->session().active_streams() == 0) tunnel_->CloseGracefully();
      return;
    }
    // The peer's certificate has ended: what runs may finish, what is new needs a new handshake.
    return StartDrain();
  }
  env_.report().OnInboundRefused(client_, 0, "", CloseReason::kHoldTimeout, "");
  socket_.CloseWithReset();
  Finish();
}

void InboundTunnel::OnTunnelOpen(TunnelConnection& tunnel) {
  opened_ = true;
  env_.report().OnHandshake(/*server=*/true);
  env_.report().OnTunnels(/*outbound=*/false, 1);
  env_.report().OnPeer(/*outbound=*/false, *tunnel.peer(), /*began=*/true);
  timer_.Arm(env_.Until(tunnel.peer()->not_after));
  if (env_.draining()) StartDrain();
}

// CONNECT is for this pod's own application and nobody else: no open relay, no way to our own
// ports, and none to what listens on loopback only.
void InboundTunnel::OnTunnelRequest(TunnelConnection& tunnel, std::unique_ptr<TunnelStream> stream,
                                    absl::string_view authority) {
  const auto refuse = [&](int status, uint16_t port, absl::string_view policy,
                          const std::string& sentence) {
    env_.report().OnInboundRefused(client_, port, policy, CloseReason::kPolicyRefused,
                                   absl::StrCat(tunnel.peer()->id.ToString(), ": ", sentence));
    stream->Refuse(status, sentence);
  };
  const absl::StatusOr<net::Address> destination = net::Address::Parse(authority);
  if (!destination.ok()) {
    return refuse(400, 0, "", "the tunnel's destination is no address with a port");
  }
  const bool to_loopback = destination->ip().IsLoopback();
  if (to_loopback ? !tunnel.local_address().ip().IsLoopback() : !env_.IsLocal(destination->ip())) {
    return refuse(403, destination->port(), "",
                  absl::StrCat("the tunnel's destination ", destination->ToString(),
                               " is not an address of this workload"));
  }
  if (env_.IsOwnListener(*destination)) {
    return refuse(403, destination->port(), "",
                  absl::StrCat("port ", destination->port(), " is the proxy's own"));
  }
  const config::PortPolicy& policy = env_.config()->inbound.For(destination->port());
  if (policy.mode == config::MtlsMode::kDisable) {
    return refuse(403, destination->port(), policy.policy,
                  absl::StrCat("policy ", policy.policy, " disables mutual TLS on port ",
                               destination->port(), "; call it in plaintext"));
  }
  if (!env_.HasRoomFor("a new connection through a tunnel")) {
    return stream->Refuse(503, "the sidecar's limit of connections or of memory is reached");
  }
  auto session = std::make_unique<InboundStream>(env_, std::move(stream), client_, *destination,
                                                 tunnel.peer());
  InboundStream* started = session.get();
  env_.Adopt(std::move(session));
  started->Start();
}

void InboundTunnel::OnTunnelChanged(TunnelConnection& tunnel) {
  if (opened_ && tunnel.session().draining() && tunnel.session().active_streams() == 0) {
    timer_.Arm(kLastRequests);
  }
}

void InboundTunnel::OnTunnelClosed(TunnelConnection& tunnel, CloseReason reason,
                                   const std::string& explanation) {
  if (!opened_) {
    if (reason != CloseReason::kFinished && reason != CloseReason::kPeerReset) {
      env_.report().OnHandshakeFailed(
          /*server=*/true, client_,
          reason == CloseReason::kHandshakeTimeout ? "timeout" : tunnel.tls().FailureLabel(),
          explanation);
    }
  } else {
    env_.report().OnTunnels(/*outbound=*/false, -1);
    env_.report().OnPeer(/*outbound=*/false, *tunnel.peer(), /*began=*/false);
    if (reason == CloseReason::kTunnelProtocol || reason == CloseReason::kTlsProtocol ||
        reason == CloseReason::kDenied) {
      env_.report().OnInboundRefused(client_, 0, "", reason,
                                     absl::StrCat("the tunnel of ", tunnel.peer()->id.ToString(),
                                                  " was closed: ", explanation));
    }
  }
  Finish();
}

void InboundTunnel::Reevaluate() {
  if (opened_ && !finished_ && env_.Denied(*tunnel_->peer())) tunnel_->Abort(CloseReason::kDenied);
}

void InboundTunnel::StartDrain() {
  if (!opened_ || finished_) return;
  tunnel_->session().StartDrain();
  OnTunnelChanged(*tunnel_);
}

void InboundTunnel::Finish() {
  if (finished_) return;
  finished_ = true;
  timer_.Cancel();
  if (held_) env_.Unhold(*this);
  env_.Remove(*this);
}

InboundStream::InboundStream(Environment& env, std::unique_ptr<TunnelStream> stream,
                             const net::Address& client, const net::Address& destination,
                             std::shared_ptr<const spiffe::PeerSvid> peer)
    : Session(env),
      client_(client),
      destination_(destination),
      peer_(std::move(peer)),
      stream_(std::move(stream)),
      proxy_(env.dispatcher(), static_cast<filter::TcpProxy::Owner&>(*this)),
      timer_(env.dispatcher().timers(), this,
             [](void* self) { static_cast<InboundStream*>(self)->OnTimeout(); }) {}

// The answer waits for the application's; what the caller sends meanwhile waits in its window.
void InboundStream::Start() {
  stream_->SetHandler(this);
  stream_->ReadDisable(true);
  int error = 0;
  net::Socket socket = net::Socket::Connect(destination_, &error, /*host_local=*/true);
  if (!socket.valid()) {
    return Refuse(503, CloseReason::kNoResources,
                  absl::StrCat("cannot connect to the application: ", std::strerror(error)));
  }
  application_ = std::make_unique<net::Connection>(env_.dispatcher(), std::move(socket),
                                                   std::make_unique<net::RawTransportSocket>(),
                                                   net::Connection::State::kConnecting);
  application_->SetHandler(this);
  timer_.Arm(env_.settings().connect_timeout);
}

void InboundStream::OnOpen(ByteStream& stream) {
  if (&stream != application_.get()) return;
  timer_.Arm(env_.TrustLeft(*peer_));
  const upstream::TcpCells& cells = env_.report().InboundCells(peer_.get());
  cells.opened->Add(1);
  closed_cell_ = cells.closed;
  cells.received->Add(stream_->bytes_read());
  proxy_.SetCounters(cells.received, cells.sent);
  proxy_.Start(*stream_, *application_);
  stream_->Accept();
  stream_->ReadDisable(false);
}

void InboundStream::OnData(ByteStream& stream, buffer::Buffer& data, bool end) {
  if (&stream == stream_.get()) {
    application_->Write(data, end);
  } else {
    stream_->Write(data, end);
  }
}

void InboundStream::OnClosed(ByteStream& stream, CloseReason reason) {
  if (&stream == stream_.get()) {
    if (application_ != nullptr) application_->Reset();
    return Finish();
  }
  Refuse(503, reason,
         absl::StrCat("cannot connect to the application at ", destination_.ToString(), ": ",
                      buffer::CloseReasonSentence(reason)));
}

void InboundStream::OnTimeout() {
  if (closed_cell_ != nullptr) {
    return BreakOff(CloseReason::kExpired, "", env_.ExplainExpiry(*peer_));
  }
  application_->Reset();
  Refuse(504, CloseReason::kConnectTimeout,
         absl::StrCat("the application at ", destination_.ToString(), " did not accept within ",
                      env_.settings().connect_timeout.count(), " ms"));
}

void InboundStream::Refuse(int status, CloseReason reason, const std::string& sentence) {
  failure_ = reason;
  env_.report().OnInboundRefused(client_, destination_.port(), "", reason,
                                 absl::StrCat(peer_->id.ToString(), ": ", sentence));
  stream_->Refuse(status, sentence);
  Finish();
}

void InboundStream::Reevaluate() {
  if (finished_ || closed_cell_ == nullptr) return;
  const config::PortPolicy& policy = env_.config()->inbound.For(destination_.port());
  if (policy.mode != config::MtlsMode::kDisable) return;
  BreakOff(CloseReason::kPolicyRefused, policy.policy,
           absl::StrCat("policy ", policy.policy, " now disables mutual TLS on this port"));
}

// It was open.
void InboundStream::BreakOff(CloseReason reason, absl::string_view policy,
                             const std::string& sentence) {
  failure_ = reason;
  env_.report().OnInboundRefused(client_, destination_.port(), policy, reason, sentence);
  application_->Reset();
  stream_->Reset();
  Finish();
}

void InboundStream::OnProxyDone(CloseReason reason, bool by_upstream) {
  if (by_upstream && reason != CloseReason::kFinished) failure_ = reason;
  Finish();
}

void InboundStream::Finish() {
  if (finished_) return;
  finished_ = true;
  timer_.Cancel();
  if (closed_cell_ != nullptr) closed_cell_->Add(1);
  env_.Remove(*this);
}

void InboundStream::Describe(ConnectionInfo* info) const {
  info->downstream = client_.ToString();
  info->destination = destination_.ToString();
  info->upstream = destination_.ToString();
  info->peer_id = peer_->id.ToString();
  info->peer_serial = Hex(peer_->serial);
  info->peer_expires_unix = absl::ToUnixSeconds(peer_->not_after);
  info->security = "mutual_tls";
  info->state = closed_cell_ == nullptr ? "connecting" : "open";
  info->protocol = "tcp";
  info->bytes_in = stream_->bytes_read();  // some came before the application was there
  info->bytes_out = proxy_.sent();
}

}  // namespace countersign::pipeline
