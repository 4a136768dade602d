#include "proxy/pipeline/inbound_tunnel.h"

#include <errno.h>

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/net/alpn.h"
#include "proxy/listener/http_detector.h"

namespace countersign::pipeline {

namespace {

// Between GOAWAY and the end of an idle tunnel: requests that crossed it on the way are served
// (RFC 9113, section 6.8). Our own clients close first.
constexpr std::chrono::milliseconds kLastRequests{1000};

}  // namespace

using buffer::ByteStream;
using buffer::CloseReason;
using http::h2::TunnelStream;
using listener::Detected;
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

// Where HTTP is declared every request is answered, also when the application is not there.
// Otherwise the answer waits for the application's, which may be the one to speak first; what the
// caller sends meanwhile waits in its window.
void InboundStream::Start() {
  stream_->SetHandler(this);
  if (config::DeclaresHttp(policy().protocol)) return Sniff();
  stream_->ReadDisable(true);
  int error = 0;
  net::Socket socket = net::Socket::Connect(destination_, &error, /*host_local=*/true);
  if (!socket.valid()) {
    return Refuse(503, net::ConnectFailure(error),
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
  timer_.Cancel();
  stream_->ReadDisable(false);
  Sniff();
}

void InboundStream::Sniff() {
  stream_->Accept();
  if (policy().protocol == config::AppProtocol::kTcp) return Splice();
  state_ = State::kSniffing;
  if (!seen_.empty() || seen_end_) return Decide();
  if (application_ == nullptr) timer_.Arm(env_.config()->http.idle_timeout);
}

void InboundStream::Decide() {
  std::string copy;
  switch (listener::Detect(seen_.View(&copy), config::DeclaresHttp(policy().protocol), seen_end_)) {
    case Detected::kHttp1:
      return ServeHttp(http::Protocol::kHttp11);
    case Detected::kHttp2:
      return ServeHttp(http::Protocol::kHttp2);
    case Detected::kOther:
      return Splice();
    case Detected::kNeedMore:
      timer_.Arm(env_.settings().handshake_timeout);
  }
}

void InboundStream::ServeHttp(http::Protocol protocol) {
  state_ = State::kHttp;
  if (application_ != nullptr) {
    // Requests have connections of their own.
    application_->Reset();
    env_.dispatcher().DeferredDelete(std::move(application_));
  }
  timer_.Arm(env_.TrustLeft(*peer_));
  http_ = std::make_unique<InboundHttp>(env_, static_cast<InboundHttp::Owner&>(*this), client_,
                                        destination_, peer_, /*tunnelled=*/true);
  http_->manager().Start(*stream_, protocol, seen_, seen_end_);
  if (env_.draining()) http_->manager().StartDrainSoon();
}

void InboundStream::Splice() {
  state_ = State::kOpen;
  timer_.Arm(env_.TrustLeft(*peer_));
  const upstream::TcpCells& cells = env_.report().InboundCells(peer_.get());
  cells.opened->Add(1);
  closed_cell_ = cells.closed;
  proxy_.SetCounters(cells.received, cells.sent);
  proxy_.Start(*stream_, *application_);
  if (!seen_.empty() || seen_end_) proxy_.OnData(*stream_, seen_, seen_end_);
  if (!greeting_.empty() || greeting_end_) proxy_.OnData(*application_, greeting_, greeting_end_);
}

void InboundStream::OnData(ByteStream& stream, buffer::Buffer& data, bool end) {
  if (state_ == State::kFinished) return data.Clear();
  if (&stream == stream_.get()) {
    seen_.Move(data);
    seen_end_ = seen_end_ || end;
    if (state_ == State::kSniffing) Decide();
    return;
  }
  // The application speaks first, or ends it: that is not HTTP.
  greeting_.Move(data);
  greeting_end_ = end;
  Splice();
}

void InboundStream::OnClosed(ByteStream& stream, CloseReason reason) {
  if (&stream == stream_.get()) {
    if (application_ != nullptr) application_->Reset();
    return Finish();
  }
  const char* const why = buffer::CloseReasonSentence(reason);
  if (state_ == State::kSniffing) {
    return BreakOff(reason, "",
                    absl::StrCat("the application at ", destination_.ToString(),
                                 " closed the connection: ", why));
  }
  Refuse(503, reason,
         absl::StrCat("cannot connect to the application at ", destination_.ToString(), ": ", why));
}

void InboundStream::OnTimeout() {
  switch (state_) {
    case State::kConnecting:
      application_->Reset();
      return Refuse(
          504, CloseReason::kConnectTimeout,
          absl::StrCat("the application at ", destination_.ToString(), " did not accept within ",
                       env_.settings().connect_timeout.count(), " ms"));
    case State::kSniffing:
      // What may still become a request is HTTP's to judge, however slow it is.
      if (!CloseIfIdle()) ServeHttp(http::Protocol::kHttp11);
      return;
    case State::kOpen:
    case State::kHttp:
      return BreakOff(CloseReason::kExpired, "", env_.ExplainExpiry(*peer_));
    case State::kFinished:
      return;
  }
}

bool InboundStream::CloseIfIdle() {
  if (state_ == State::kHttp) return http_->manager().CloseIfIdle();
  if (state_ != State::kSniffing || application_ != nullptr || !seen_.empty()) return false;
  stream_->Reset();
  Finish();
  return true;
}

void InboundStream::StartDrain() {
  if (state_ == State::kHttp) http_->manager().StartDrain();
}

void InboundStream::Refuse(int status, CloseReason reason, const std::string& sentence) {
  failure_ = reason;
  if (reason == CloseReason::kNoResources) env_.OnNoDescriptor(sentence);
  env_.report().OnInboundRefused(client_, destination_.port(), "", reason,
                                 absl::StrCat(peer_->id.ToString(), ": ", sentence));
  stream_->Refuse(status, sentence);
  Finish();
}

void InboundStream::Reevaluate() {
  if (state_ == State::kFinished || state_ == State::kConnecting) return;
  if (policy().mode != config::MtlsMode::kDisable) return;
  BreakOff(CloseReason::kPolicyRefused, policy().policy,
           absl::StrCat("policy ", policy().policy, " now disables mutual TLS on this port"));
}

// It was accepted.
void InboundStream::BreakOff(CloseReason reason, absl::string_view policy,
                             const std::string& sentence) {
  failure_ = reason;
  env_.report().OnInboundRefused(client_, destination_.port(), policy, reason, sentence);
  if (http_ != nullptr) http_->manager().Abort(reason);
  if (application_ != nullptr) application_->Reset();
  stream_->Reset();
  Finish();
}

void InboundStream::OnProxyDone(CloseReason reason, bool by_upstream) {
  if (by_upstream && reason != CloseReason::kFinished) failure_ = reason;
  Finish();
}

void InboundStream::Finish() {
  if (state_ == State::kFinished) return;
  timer_.Cancel();
  if (closed_cell_ != nullptr) closed_cell_->Add(1);
  env_.Remove(*this);
  state_ = State::kFinished;
}

void InboundStream::Describe(ConnectionInfo* info) const {
  info->downstream = client_.ToString();
  info->destination = destination_.ToString();
  info->upstream = destination_.ToString();
  info->peer_id = peer_->id.ToString();
  info->peer_serial = Hex(peer_->serial);
  info->peer_expires_unix = absl::ToUnixSeconds(peer_->not_after);
  info->security = "mutual_tls";
  info->state = state_ == State::kOpen || state_ == State::kHttp ? "open" : "connecting";
  info->protocol = "tcp";
  info->bytes_in = stream_->bytes_read();
  info->bytes_out = stream_->bytes_written();
  if (http_ == nullptr) return;
  info->protocol = std::string(http::ProtocolName(http_->manager().protocol()));
  info->requests = http_->manager().requests();
  if (http_->manager().draining()) info->state = "draining";
}

}  // namespace countersign::pipeline
