#include "proxy/pipeline/outbound.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/net/alpn.h"
#include "proxy/listener/http_detector.h"

namespace countersign::pipeline {

using buffer::ByteStream;
using buffer::CloseReason;
using listener::Detected;
using upstream::DestinationTable;

namespace {

constexpr size_t kMaxAttempts = 3;
// A client's silence after which its connection goes ahead as TCP, for servers that speak first.
// What an HTTP client says comes with the last packet of TCP's handshake or right behind it; for
// those a connection that nobody uses would be opened at the far end. Nothing is decided by it:
// should the client speak HTTP later, HTTP takes over.
constexpr std::chrono::milliseconds kSilence{3};
// Half a request line, and then nothing: it is not for us to keep.
constexpr std::chrono::milliseconds kHalfALine{10'000};
constexpr std::chrono::milliseconds kPassthroughTimeout{10'000};

bool NeedsIdentity(const config::Destination& destination) {
  for (const auto& cluster : destination.route_clusters) {
    for (const config::Endpoint& endpoint : cluster->endpoints) {
      if (endpoint.transport != config::EndpointTransport::kPlaintext) return true;
    }
  }
  return false;
}

void RefuseAtOnce(Environment& env, net::Socket& socket, const net::Address& client,
                  const net::Address& destination, CloseReason reason, absl::string_view sentence) {
  env.report().OnOutboundRefused(client, destination, reason, sentence);
  socket.CloseWithReset();
}

}  // namespace

void AcceptOutbound(Environment& env, net::Socket socket, const net::Address& client,
                    const net::Address* forward) {
  // Where did the application want to go?
  const absl::StatusOr<net::Address> original =
      forward != nullptr ? *forward : socket.OriginalDestination();
  if (!original.ok()) {
    return RefuseAtOnce(env, socket, client, socket.LocalAddress().value_or(net::Address()),
                        CloseReason::kLoop,
                        "it came to the capture port directly; only what netfilter redirects is "
                        "served there");
  }
  // Not to ourselves: that would be a loop, or an open relay.
  if (env.IsOwnListener(*original)) {
    return RefuseAtOnce(env, socket, client, *original, CloseReason::kLoop,
                        "the destination is a port of this proxy itself");
  }
  if (!env.HasRoomFor("a new outbound connection")) return socket.CloseWithReset();
  auto connection = std::make_unique<OutboundConnection>(env, std::move(socket), client, *original);
  OutboundConnection* started = connection.get();
  env.Adopt(std::move(connection));
  started->Start();
}

OutboundConnection::OutboundConnection(Environment& env, net::Socket socket,
                                       const net::Address& client, const net::Address& destination)
    : Session(env),
      client_(client),
      destination_(destination),
      downstream_(env.dispatcher(), std::move(socket), std::make_unique<net::RawTransportSocket>(),
                  net::Connection::State::kConnected),
      proxy_(env.dispatcher(), static_cast<filter::TcpProxy::Owner&>(*this)),
      timer_(env.dispatcher().timers(), this,
             [](void* self) { static_cast<OutboundConnection*>(self)->OnTimeout(); }),
      sniff_timer_(env.dispatcher().timers(), this,
                   [](void* self) { static_cast<OutboundConnection*>(self)->OnSniffTimer(); }) {
  downstream_.SetHandler(this);
  // Nothing is read before there is somewhere to send it.
  downstream_.ReadDisable(true);
}

OutboundConnection::~OutboundConnection() { upstream::Cluster::EndConnection(host_); }

void OutboundConnection::Start() { Resolve(); }

// Waits until the standing configuration and the answer for this destination are there.
void OutboundConnection::Resolve() {
  if (env_.config() == nullptr) return HoldForNow();
  DestinationTable::Entry* entry = env_.destinations().Find(destination_, env_.dispatcher().now());
  if (entry == nullptr) {
    return Refuse(CloseReason::kOverload,
                  "too many destinations wait for an answer of the control plane");
  }
  if (entry->destination == nullptr) {
    HoldForNow();
    if (state_ == State::kHeld && !DestinationTable::Waiter::waiting()) {
      env_.destinations().Wait(*entry, *this);
    }
    return;
  }
  Route(*entry);
}

// To the mesh, to the world outside it, or nowhere.
void OutboundConnection::Route(DestinationTable::Entry& entry) {
  const config::Destination& destination = *entry.destination;
  if (destination.kind == config::Destination::Kind::kCluster) {
    tcp_ = tcp_ || env_.destination_routes().To(destination_, entry) == nullptr;
    if (tcp_) return ConnectToHost(entry);
    http_for_sure_ = destination.cluster->protocol != config::AppProtocol::kAuto;
    return Sniff(destination);
  }
  tcp_ = true;
  const config::OutboundPolicy& policy = env_.config()->outbound;
  if (policy.mode == config::OutboundPolicy::Mode::kRegistryOnly) {
    return Refuse(CloseReason::kUnknownDestination,
                  absl::StrCat("it is not in the mesh's registry, and ",
                               policy.name.empty() ? "the default policy" : policy.name,
                               " (outboundTrafficPolicy REGISTRY_ONLY) allows nothing else; add a "
                               "Service or workload for it, or set ALLOW_ANY"));
  }
  ConnectDirectly(destination_, std::make_unique<net::RawTransportSocket>(), kPassthroughTimeout);
}

// The first bytes tell HTTP from TCP, where configuration does not, and HTTP/2 from HTTP/1.
void OutboundConnection::Sniff(const config::Destination& destination) {
  StopHolding();
  state_ = State::kSniffing;
  SetReading(true);
  if (!seen_.empty() || seen_end_) return Decide();
  // Where HTTP is declared who is silent is idle, as a connection without a request is.
  sniff_timer_.Arm(http_for_sure_ ? destination.http.idle_timeout : kSilence);
}

void OutboundConnection::Decide() {
  std::string copy;
  switch (listener::Detect(seen_.View(&copy), http_for_sure_, seen_end_)) {
    case Detected::kHttp1:
      return ServeHttp(http::Protocol::kHttp11);
    case Detected::kHttp2:
      return ServeHttp(http::Protocol::kHttp2);
    case Detected::kOther:
      return GoOnAsTcp();
    case Detected::kNeedMore:
      sniff_timer_.Arm(kHalfALine);
  }
}

void OutboundConnection::OnSniffTimer() {
  if (tcp_ || state_ == State::kHeld) return;
  // What may still become a request is HTTP's to judge, however slow it is.
  if (!seen_.empty()) return ServeHttp(http::Protocol::kHttp11);
  if (state_ != State::kSniffing) return;
  if (http_for_sure_) {
    (void)CloseIfIdle();
  } else {
    ConnectAhead(/*may_wait=*/true);
  }
}

// Silent so far: whoever speaks first decides, and the server must be there to do so. Where the
// cluster has no room for that, the client is given time: should it speak HTTP, it needs no
// connection of its own.
void OutboundConnection::ConnectAhead(bool may_wait) {
  DestinationTable::Entry* entry = env_.destinations().Find(destination_, env_.dispatcher().now());
  if (entry == nullptr || !entry->cluster) return;
  const upstream::Cluster& cluster = *entry->cluster;
  if (may_wait && cluster.circuit_breakers().open(upstream::CircuitBreakers::Kind::kConnections)) {
    return timer_.Arm(cluster.config().connect_timeout);
  }
  ConnectToHost(*entry);
}

// Request by request, to wherever each one's route leads. An upstream that was connected for TCP is
// not needed.
void OutboundConnection::ServeHttp(http::Protocol protocol) {
  sniff_timer_.Cancel();
  DropUpstream();
  DestinationTable::Entry* entry = env_.destinations().Find(destination_, env_.dispatcher().now());
  const bool http = entry != nullptr && entry->destination != nullptr &&
                    env_.destination_routes().To(destination_, *entry) != nullptr;
  if (!http || (env_.secret() == nullptr && NeedsIdentity(*entry->destination))) {
    // Changed meanwhile, or its endpoints cannot be called yet.
    SetReading(false);
    return http ? HoldForNow() : Resolve();
  }
  StopHolding();
  state_ = State::kHttp;
  http_ = std::make_unique<OutboundHttp>(env_, static_cast<OutboundHttp::Owner&>(*this), *entry,
                                         client_, destination_);
  http_->manager().Start(downstream_, protocol, seen_, seen_end_);
}

void OutboundConnection::GoOnAsTcp() {
  sniff_timer_.Cancel();
  tcp_ = true;
  SetReading(false);
  if (state_ == State::kReady) return Splice();
  if (state_ != State::kSniffing) return;
  timer_.Cancel();
  Resolve();
}

void OutboundConnection::SetReading(bool on) {
  if (std::exchange(reading_, on) != on) downstream_.ReadDisable(!on);
}

void OutboundConnection::ConnectToHost(DestinationTable::Entry& entry) {
  const config::Cluster& cluster = *entry.destination->cluster;
  upstream::Host* host = entry.cluster->ChooseHost({{}, tried_, /*untried_only=*/true});
  if (host == nullptr) {
    return Refuse(CloseReason::kNoEndpoint,
                  absl::StrCat("service ", cluster.name, " has no endpoint that is ready"));
  }
  const config::Endpoint& endpoint = host->endpoint;
  if (endpoint.transport != config::EndpointTransport::kPlaintext && env_.secret() == nullptr) {
    return HoldForNow();
  }
  StopHolding();
  // What a host before this one did not use is free again.
  upstream::Cluster::EndConnection(std::exchange(host_, nullptr));
  if (!upstream::Cluster::BeginConnection(*host)) {
    return Refuse(CloseReason::kUpstreamOverflow,
                  entry.cluster->circuit_breakers().Explain(
                      upstream::CircuitBreakers::Kind::kConnections, cluster.name));
  }
  host_ = host;
  if (host->cells.opened == nullptr) host->cells = env_.report().OutboundCells(endpoint, cluster);
  switch (endpoint.transport) {
    case config::EndpointTransport::kHbone:
      state_ = State::kConnecting;
      return env_.pool().NewStream(endpoint.tunnel, endpoint.identity, endpoint.address,
                                   cluster.connect_timeout, *this);
    case config::EndpointTransport::kTls: {
      auto tls = std::make_unique<tls::TlsTransportSocket>(
          env_.ClientTls(net::kMeshAlpn, endpoint.identity), nullptr);
      tls_ = tls.get();
      return ConnectDirectly(endpoint.address, std::move(tls), cluster.connect_timeout);
    }
    case config::EndpointTransport::kPlaintext:
      return ConnectDirectly(endpoint.address, std::make_unique<net::RawTransportSocket>(),
                             cluster.connect_timeout);
  }
}

void OutboundConnection::ConnectDirectly(const net::Address& address,
                                         std::unique_ptr<net::TransportSocket> transport,
                                         std::chrono::milliseconds timeout) {
  StopHolding();
  state_ = State::kConnecting;
  int error = 0;
  net::Socket socket = net::Socket::Connect(address, &error);
  if (!socket.valid()) {
    return OnConnectFailed(net::ConnectFailure(error), std::strerror(error));
  }
  socket.SetKeepAlive();
  auto connection =
      std::make_unique<net::Connection>(env_.dispatcher(), std::move(socket), std::move(transport),
                                        net::Connection::State::kConnecting);
  direct_ = connection.get();
  direct_->SetHandler(this);
  upstream_ = std::move(connection);
  timer_.Arm(timeout);
}

void OutboundConnection::OnStreamReady(std::unique_ptr<http::h2::TunnelStream> stream,
                                       upstream::TunnelConnection& tunnel) {
  stream_ = stream.get();
  upstream_ = std::move(stream);
  peer_ = tunnel.peer();
  upstream_->SetHandler(this);
  OnUpstreamReady(host_->cells);
}

void OutboundConnection::OnOpen(ByteStream& stream) {
  if (&stream != direct_) return;
  if (tls_ != nullptr) {
    peer_ = tls_->peer();
    env_.report().OnHandshake(/*server=*/false);
    env_.report().OnPeer(/*outbound=*/true, *peer_, /*began=*/true);
    reported_peer_ = true;
  }
  OnUpstreamReady(host_ != nullptr ? host_->cells : env_.report().PassthroughCells());
}

void OutboundConnection::OnUpstreamReady(const upstream::TcpCells& cells) {
  timer_.Cancel();
  cells_ = cells;
  state_ = State::kReady;
  if (tcp_) Splice();
}

void OutboundConnection::Splice() {
  state_ = State::kOpen;
  if (peer_ != nullptr) timer_.Arm(env_.TrustLeft(*peer_));
  cells_.opened->Add(1);
  closed_cell_ = cells_.closed;
  proxy_.SetCounters(cells_.received, cells_.sent);
  proxy_.Start(downstream_, *upstream_);
  if (!seen_.empty() || seen_end_) proxy_.OnData(downstream_, seen_, seen_end_);
  if (!greeting_.empty() || greeting_end_) proxy_.OnData(*upstream_, greeting_, greeting_end_);
  SetReading(true);
}

void OutboundConnection::DropUpstream() {
  timer_.Cancel();
  upstream::HbonePool::Request::Cancel();
  if (upstream_ != nullptr) upstream_->Reset();
  LeaveUpstream();
  tried_.clear();
  upstream::Cluster::EndConnection(std::exchange(host_, nullptr));
}

void OutboundConnection::LeaveUpstream() {
  if (direct_ != nullptr) {
    // Perhaps in its own callback: dies at the end of the turn. A tunnel's session has let go of a
    // stream that is closed.
    env_.dispatcher().DeferredDelete(
        std::unique_ptr<event::Deferred>(static_cast<net::Connection*>(upstream_.release())));
  }
  upstream_.reset();
  if (std::exchange(reported_peer_, false)) {
    env_.report().OnPeer(/*outbound=*/true, *peer_, /*began=*/false);
  }
  peer_.reset();
  direct_ = nullptr;
  tls_ = nullptr;
  stream_ = nullptr;
}

// Another host may do what this one did not; nothing was sent yet.
void OutboundConnection::OnConnectFailed(CloseReason reason, const std::string& explanation) {
  timer_.Cancel();
  if (tls_ != nullptr &&
      (reason == CloseReason::kTlsHandshake || reason == CloseReason::kTlsAlert)) {
    env_.report().OnHandshakeFailed(/*server=*/false, host_->endpoint.address, tls_->FailureLabel(),
                                    explanation);
  }
  LeaveUpstream();
  if (host_ != nullptr) {
    host_->cluster->OnConnectFailed(*host_);
    tried_.push_back(host_);
    DestinationTable::Entry* entry =
        env_.destinations().Find(destination_, env_.dispatcher().now());
    if (entry != nullptr && entry->destination != nullptr &&
        entry->destination->kind == config::Destination::Kind::kCluster &&
        tried_.size() < kMaxAttempts &&
        entry->cluster->ChooseHost({{}, tried_, /*untried_only=*/true}) != nullptr) {
      return ConnectToHost(*entry);
    }
  }
  Refuse(reason, absl::StrCat(Where(), ": ", explanation));
}

void OutboundConnection::OnStreamFailed(CloseReason reason, const std::string& explanation) {
  OnConnectFailed(reason, explanation);
}

std::string OutboundConnection::Where() const {
  return host_ == nullptr ? "passthrough" : upstream::Whereabouts(host_->endpoint, /*http=*/false);
}

void OutboundConnection::HoldForNow() {
  if (held_) return;
  SetReading(false);
  if (!env_.Hold(*this)) {
    env_.report().OnOverload(
        "held_connections",
        absl::StrCat("refused the connection of ", client_.ToString(), " to ",
                     destination_.ToString(), ": ", env_.settings().max_held_connections,
                     " connections wait already for the certificate or for configuration"));
    downstream_.Reset();
    return Finish();
  }
  held_ = true;
  state_ = State::kHeld;
  if (!timer_.armed()) timer_.Arm(env_.settings().hold_timeout);
}

void OutboundConnection::StopHolding() {
  if (std::exchange(held_, false)) env_.Unhold(*this);
  DestinationTable::Waiter::Cancel();
  timer_.Cancel();
}

void OutboundConnection::OnEnvironmentChanged() {
  held_ = false;  // the environment has taken it off its list
  Resolve();
}

void OutboundConnection::OnDestinationKnown() {
  if (state_ != State::kHeld) return;
  Resolve();
}

void OutboundConnection::OnTimeout() {
  if (state_ == State::kHeld) {
    return Refuse(
        CloseReason::kHoldTimeout,
        absl::StrCat(env_.config() == nullptr   ? "the proxy's configuration"
                     : env_.secret() == nullptr ? "the proxy's certificate"
                                                : "the control plane's answer for this destination",
                     " did not arrive within ", env_.settings().hold_timeout.count(),
                     " ms; is the control plane reachable?"));
  }
  if (state_ == State::kSniffing) return ConnectAhead(/*may_wait=*/false);
  if (state_ == State::kOpen) {
    upstream_->Reset();
    return Refuse(CloseReason::kExpired, env_.ExplainExpiry(*peer_));
  }
  const CloseReason reason = direct_ != nullptr && !direct_->connecting()
                                 ? CloseReason::kHandshakeTimeout
                                 : CloseReason::kConnectTimeout;
  if (direct_ != nullptr) direct_->Reset();
  OnConnectFailed(reason, buffer::CloseReasonSentence(reason));
}

void OutboundConnection::Refuse(CloseReason reason, const std::string& sentence) {
  failure_ = reason;
  if (reason == CloseReason::kNoResources) env_.OnNoDescriptor(sentence);
  env_.report().OnOutboundRefused(client_, destination_, reason, sentence);
  downstream_.Reset();
  Finish();
}

// Until the streams are spliced or HTTP has taken over.
void OutboundConnection::OnData(ByteStream& stream, buffer::Buffer& data, bool end) {
  if (state_ == State::kFinished) return data.Clear();
  if (&stream == &downstream_) {
    seen_.Move(data);
    seen_end_ = seen_end_ || end;
    if (!tcp_ && state_ != State::kHeld) Decide();
    return;
  }
  // The server speaks first, or ends it.
  greeting_.Move(data);
  greeting_end_ = greeting_end_ || end;
  if (state_ == State::kReady) GoOnAsTcp();
}

void OutboundConnection::OnClosed(ByteStream& stream, CloseReason reason) {
  if (&stream == &downstream_) return Finish();  // the application gave up
  OnConnectFailed(reason == CloseReason::kFinished ? CloseReason::kPeerReset : reason,
                  Explain(reason));
}

std::string OutboundConnection::Explain(CloseReason reason) const {
  if (tls_ != nullptr &&
      (reason == CloseReason::kTlsHandshake || reason == CloseReason::kTlsAlert)) {
    return tls_->Explain();
  }
  std::string sentence = buffer::CloseReasonSentence(reason);
  if (stream_ != nullptr && !stream_->refusal().empty()) {
    absl::StrAppend(&sentence, " with status ", stream_->status(), ": ", stream_->refusal());
  }
  return sentence;
}

void OutboundConnection::OnProxyDone(CloseReason reason, bool by_upstream) {
  if (by_upstream && reason != CloseReason::kFinished && reason != CloseReason::kPeerReset) {
    env_.report().OnOutboundRefused(client_, destination_, reason,
                                    absl::StrCat(Where(), ": ", Explain(reason)));
  }
  if (by_upstream && reason != CloseReason::kFinished) failure_ = reason;
  Finish();
}

void OutboundConnection::Reevaluate() {
  if (state_ != State::kOpen) return;
  // Tunnels are the pool's to close; a TLS connection of its own is closed here.
  if (tls_ != nullptr && env_.Denied(*peer_)) {
    upstream_->Reset();
    return Refuse(CloseReason::kDenied, absl::StrCat("the identity ", peer_->id.ToString(),
                                                     " or its certificate was revoked"));
  }
  const config::OutboundPolicy& policy = env_.config()->outbound;
  if (host_ == nullptr && policy.mode == config::OutboundPolicy::Mode::kRegistryOnly) {
    upstream_->Reset();
    Refuse(CloseReason::kUnknownDestination,
           absl::StrCat(policy.name, " has become REGISTRY_ONLY, and it is not in the registry"));
  }
}

bool OutboundConnection::CloseIfIdle() {
  if (state_ == State::kHttp) return http_->manager().CloseIfIdle();
  if (state_ != State::kSniffing || !seen_.empty()) return false;
  downstream_.Close();
  Finish();
  return true;
}

void OutboundConnection::Finish() {
  if (state_ == State::kFinished) return;
  StopHolding();
  DestinationTable::Waiter::Cancel();
  upstream::HbonePool::Request::Cancel();
  timer_.Cancel();
  sniff_timer_.Cancel();
  if (closed_cell_ != nullptr) closed_cell_->Add(1);
  if (reported_peer_) env_.report().OnPeer(/*outbound=*/true, *peer_, /*began=*/false);
  state_ = State::kFinished;
  env_.Remove(*this);
}

void OutboundConnection::Describe(ConnectionInfo* info) const {
  info->downstream = client_.ToString();
  info->destination = destination_.ToString();
  if (host_ != nullptr) {
    info->upstream = host_->endpoint.transport == config::EndpointTransport::kHbone
                         ? absl::StrCat(host_->endpoint.address.ToString(), " via ",
                                        host_->endpoint.tunnel.ToString())
                         : host_->endpoint.address.ToString();
  } else if (direct_ != nullptr) {
    info->upstream = destination_.ToString();
  }
  info->security = peer_ != nullptr ? "mutual_tls" : "none";
  if (peer_ != nullptr) {
    info->peer_id = peer_->id.ToString();
    info->peer_serial = Hex(peer_->serial);
    info->peer_expires_unix = absl::ToUnixSeconds(peer_->not_after);
  }
  info->state = state_ == State::kHeld   ? "held"
                : state_ == State::kOpen ? "open"
                : state_ == State::kHttp ? http_->manager().draining() ? "draining" : "open"
                                         : "connecting";
  info->protocol = "tcp";
  info->bytes_in = proxy_.received();
  info->bytes_out = proxy_.sent();
  if (http_ == nullptr) return;
  info->protocol = std::string(http::ProtocolName(http_->manager().protocol()));
  info->requests = http_->manager().requests();
  info->bytes_in = http_->manager().bytes_in();
  info->bytes_out = http_->manager().bytes_out();
}

}  // namespace countersign::pipeline
