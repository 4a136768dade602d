#include "proxy/pipeline/inbound.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/net/alpn.h"
#include "proxy/listener/client_hello.h"
#include "proxy/listener/http_detector.h"

namespace countersign::pipeline {

using buffer::ByteStream;
using buffer::CloseReason;
using config::AppProtocol;
using config::MtlsMode;
using listener::Detected;
using listener::Sniffed;

namespace {

// Not constexpr: gcc's AddressSanitizer takes no address of an inline variable for a constant.
const absl::string_view kMeshAlpns[] = {net::kMeshHttpAlpn, net::kMeshAlpn};

// How long an application's greeting waits for a client's ClientHello that may be on its way: a
// sidecar that speaks TLS on this port sends it with the last packet of TCP's handshake, and must
// not be answered in plaintext because the application was quicker. A client that waits for the
// greeting loses this much once, and nothing ever times out.
constexpr std::chrono::milliseconds kGreetingGrace{20};

// A client's silence after which the application is connected, for those that speak first. What an
// HTTP client or a sidecar says comes with the last packet of TCP's handshake or right behind it;
// for those a connection that nobody uses would be opened.
constexpr std::chrono::milliseconds kSilence{3};

// Under STRICT, whoever leaves without a word sooner than this was a probe of the port; later, a
// client that waited in vain for the application to speak first.
constexpr std::chrono::milliseconds kProbePatience{1'000};

}  // namespace

void AcceptInbound(Environment& env, net::Socket socket, const net::Address& client,
                   const net::Address* forward) {
  // Which port of the application was meant?
  const absl::StatusOr<net::Address> original =
      forward != nullptr ? *forward : socket.OriginalDestination();
  if (!original.ok() || env.IsOwnListener(*original)) {
    env.report().OnInboundRefused(
        client, original.ok() ? original->port() : 0, "", CloseReason::kLoop,
        "it came to the proxy's own port; only what netfilter redirects is served there");
    return socket.CloseWithReset();
  }
  if (!env.HasRoomFor("a new inbound connection")) return socket.CloseWithReset();
  auto connection = std::make_unique<InboundConnection>(env, std::move(socket), client, *original);
  InboundConnection* started = connection.get();
  env.Adopt(std::move(connection));
  started->Start();
}

InboundConnection::InboundConnection(Environment& env, net::Socket socket,
                                     const net::Address& client, const net::Address& application)
    : Session(env),
      client_(client),
      application_address_(application),
      downstream_(env.dispatcher(), std::move(socket), std::make_unique<net::RawTransportSocket>(),
                  net::Connection::State::kConnected),
      proxy_(env.dispatcher(), static_cast<filter::TcpProxy::Owner&>(*this)),
      timer_(env.dispatcher().timers(), this,
             [](void* self) { static_cast<InboundConnection*>(self)->OnTimeout(); }),
      connect_timer_(env.dispatcher().timers(), this,
                     [](void* self) {
                       static_cast<InboundConnection*>(self)->Refuse(
                           CloseReason::kConnectTimeout,
                           "the application did not accept the connection in time");
                     }),
      silence_timer_(env.dispatcher().timers(), this,
                     [](void* self) { static_cast<InboundConnection*>(self)->OnSilence(); }) {
  downstream_.SetHandler(this);
  downstream_.ReadDisable(true);
}

// Held until there is a policy to judge by, and a certificate where it may be needed.
void InboundConnection::Start() {
  if (env_.config() == nullptr ||
      (policy().mode != MtlsMode::kDisable && env_.secret() == nullptr)) {
    if (!env_.Hold(*this)) {
      env_.report().OnOverload(
          "held_connections",
          absl::StrCat("refused the connection of ", client_.ToString(), " to port ",
                       application_address_.port(),
                       ": too many connections wait already for the certificate or policy"));
      downstream_.Reset();
      return Finish();
    }
    held_ = true;
    if (!timer_.armed()) timer_.Arm(env_.settings().hold_timeout);
    return;
  }
  timer_.Cancel();
  Sniff();
}

// By policy: opaque bytes all through (DISABLE), or look at the first of them. The application is
// connected while the client is silent, so that it may speak first; but under STRICT it hears of
// proven peers alone, and where HTTP is declared the client is the one to speak.
void InboundConnection::Sniff() {
  state_ = State::kSniffing;
  AwaitFirstBytes();
  if (state_ != State::kFinished) downstream_.ReadDisable(false);
}

void InboundConnection::AwaitFirstBytes() {
  if (policy().mode == MtlsMode::kStrict && !proven()) {
    timer_.Arm(env_.settings().handshake_timeout);
  } else if (config::DeclaresHttp(policy().protocol)) {
    // Idle, as a connection without a request is.
    timer_.Arm(env_.config()->http.idle_timeout);
  } else if ((policy().mode == MtlsMode::kDisable || proven()) &&
             policy().protocol == AppProtocol::kTcp) {
    LetThrough();
  } else if (!proven()) {
    silence_timer_.Arm(kSilence);
  } else if (application_ == nullptr) {
    ConnectApplication();
  } else if (!greeting_.empty() || greeting_end_) {
    LetThrough();
  }
}

void InboundConnection::OnSilence() {
  if (state_ != State::kSniffing || !seen_.empty()) return;
  if (application_ == nullptr) return ConnectApplication();
  // The application has spoken, and no ClientHello came in time.
  if (!greeting_.empty() || greeting_end_) LetThrough();
}

void InboundConnection::OnData(ByteStream& stream, buffer::Buffer& data, bool end) {
  if (&stream == &downstream_) {
    if (seen_.empty() && state_ == State::kSniffing &&
        (policy().mode != MtlsMode::kStrict || proven())) {
      timer_.Cancel();
    }
    seen_.Move(data);
    seen_end_ = seen_end_ || end;
    if (state_ == State::kSniffing) Decide();
    return;
  }
  greeting_.Move(data);
  greeting_end_ = greeting_end_ || end;
  if (greeting_.size() >= buffer::kHighWatermark && !greeting_stopped_) {
    greeting_stopped_ = true;
    application_->ReadDisable(true);
  }
  if (state_ == State::kSniffing && seen_.empty() && !silence_timer_.armed()) {
    silence_timer_.Arm(policy().mode == MtlsMode::kDisable || proven()
                           ? std::chrono::milliseconds(0)
                           : kGreetingGrace);
  }
}

void InboundConnection::Decide() {
  std::string copy;
  const absl::string_view bytes = seen_.View(&copy);
  if (policy().mode == MtlsMode::kDisable || proven()) return DecidePlaintext(bytes);
  const bool strict = policy().mode == MtlsMode::kStrict;
  switch (listener::SniffClientHello(bytes, kMeshAlpns)) {
    case Sniffed::kNeedMore:
      if (!seen_end_) {
        if (!seen_.empty() && !timer_.armed()) timer_.Arm(env_.settings().handshake_timeout);
        return;
      }
      if (!strict) return LetThrough();
      if (!seen_.empty()) return RefuseByPolicy("sent half a TLS greeting");
      if (env_.dispatcher().now() - started_at() >= kProbePatience) {
        return RefuseByPolicy(
            "waited without a word, as if for plaintext from the application, and left");
      }
      downstream_.Close();
      return Finish();
    case Sniffed::kMeshTls:
      return Terminate();
    case Sniffed::kOtherTls:
      return strict ? RefuseByPolicy("speaks TLS, but not the mesh's") : LetThrough();
    case Sniffed::kPlaintext:
      return strict ? RefuseByPolicy("speaks plaintext") : DecidePlaintext(bytes);
  }
}

// HTTP, by declaration or by its first bytes, goes request by request; anything else untouched.
void InboundConnection::DecidePlaintext(absl::string_view bytes) {
  if (policy().protocol == AppProtocol::kTcp) return LetThrough();
  switch (listener::Detect(bytes, config::DeclaresHttp(policy().protocol), seen_end_)) {
    case Detected::kHttp1:
      return ServeHttp(http::Protocol::kHttp11);
    case Detected::kHttp2:
      return ServeHttp(http::Protocol::kHttp2);
    case Detected::kOther:
      return LetThrough();
    case Detected::kNeedMore:
      if (!seen_.empty() && !timer_.armed()) timer_.Arm(env_.settings().handshake_timeout);
  }
}

void InboundConnection::ServeHttp(http::Protocol protocol) {
  timer_.Cancel();
  silence_timer_.Cancel();
  DropApplication();
  state_ = State::kHttp;
  std::shared_ptr<const spiffe::PeerSvid> peer = proven() ? tls_->peer() : nullptr;
  const bool by_sidecar = proven() && tls_->alpn() == net::kMeshHttpAlpn;
  if (peer == nullptr) {
    if (policy().mode != MtlsMode::kDisable) {
      env_.report().OnPlaintextCaller(client_.ip(), application_address_.port());
    }
  } else {
    // With the end of either certificate what runs may finish, and what is new needs a new
    // handshake.
    const absl::Time end = std::min(peer->not_after, env_.secret()->not_after);
    timer_.Arm(env_.Until(end));
  }
  http_ = std::make_unique<InboundHttp>(env_, static_cast<InboundHttp::Owner&>(*this), client_,
                                        application_address_, std::move(peer),
                                        /*tunnelled=*/!by_sidecar);
  http_->manager().Start(downstream_, protocol, seen_, seen_end_);
  if (env_.draining()) http_->manager().StartDrainSoon();
}

void InboundConnection::StartDrain() {
  if (state_ == State::kHttp) http_->manager().StartDrain();
}

bool InboundConnection::CloseIfIdle() {
  if (state_ == State::kHttp) return http_->manager().CloseIfIdle();
  if (state_ != State::kSniffing || !seen_.empty() || application_ != nullptr) return false;
  downstream_.Close();
  Finish();
  return true;
}

// Mesh TLS: the peer must prove who it is before anything goes to the application.
void InboundConnection::Terminate() {
  state_ = State::kHandshaking;
  silence_timer_.Cancel();
  timer_.Arm(env_.settings().handshake_timeout);
  auto tls = std::make_unique<tls::TlsTransportSocket>(
      env_.ServerTls({net::kMeshHttpAlpn, net::kMeshAlpn}), &seen_);
  tls_ = tls.get();
  downstream_.SetTransport(std::move(tls));
}

void InboundConnection::OnOpen(ByteStream& stream) {
  if (&stream != &downstream_) return connect_timer_.Cancel();
  if (tls_ == nullptr) return;
  env_.report().OnHandshake(/*server=*/true);
  env_.report().OnPeer(/*outbound=*/false, *tls_->peer(), /*began=*/true);
  reported_peer_ = true;
  if (tls_->alpn() == net::kMeshHttpAlpn) return ServeHttp(http::Protocol::kHttp2);
  // Bytes, says the peer; an application that speaks HTTP would read them as HTTP all the same.
  timer_.Cancel();
  state_ = State::kSniffing;
  AwaitFirstBytes();
}

// A peer's bytes; or plaintext, or TLS that is the application's own: untouched, and counted by
// caller.
void InboundConnection::LetThrough() {
  if (proven()) return Splice(tls_->peer().get());
  if (policy().mode != MtlsMode::kDisable) {
    env_.report().OnPlaintextCaller(client_.ip(), application_address_.port());
  }
  Splice(nullptr);
}

void InboundConnection::Splice(const spiffe::PeerSvid* peer) {
  timer_.Cancel();
  silence_timer_.Cancel();
  state_ = State::kOpen;
  if (peer != nullptr) timer_.Arm(env_.TrustLeft(*peer));
  if (application_ == nullptr) ConnectApplication();
  if (state_ == State::kFinished) return;
  const upstream::TcpCells& cells = env_.report().InboundCells(peer);
  cells.opened->Add(1);
  closed_cell_ = cells.closed;
  proxy_.SetCounters(cells.received, cells.sent);
  proxy_.Start(downstream_, *application_);
  if (!seen_.empty() || seen_end_) proxy_.OnData(downstream_, seen_, seen_end_);
  if (!greeting_.empty() || greeting_end_) {
    if (std::exchange(greeting_stopped_, false)) application_->ReadDisable(false);
    proxy_.OnData(*application_, greeting_, greeting_end_);
  }
}

void InboundConnection::ConnectApplication() {
  int error = 0;
  net::Socket socket = net::Socket::Connect(application_address_, &error, /*host_local=*/true);
  if (!socket.valid()) {
    return Refuse(CloseReason::kNoResources,
                  absl::StrCat("cannot connect to the application: ", std::strerror(error)));
  }
  application_ = std::make_unique<net::Connection>(env_.dispatcher(), std::move(socket),
                                                   std::make_unique<net::RawTransportSocket>(),
                                                   net::Connection::State::kConnecting);
  application_->SetHandler(this);
  connect_timer_.Arm(env_.settings().connect_timeout);
}

void InboundConnection::OnEnvironmentChanged() {
  held_ = false;
  Start();
}

void InboundConnection::OnTimeout() {
  if (state_ == State::kOpen || state_ == State::kHttp) {
    // Of HTTP what runs may finish, as long as the grace lasts.
    const std::chrono::milliseconds left = env_.TrustLeft(*tls_->peer());
    if (left.count() == 0) return Refuse(CloseReason::kExpired, env_.ExplainExpiry(*tls_->peer()));
    StartDrain();
    return timer_.Arm(left);
  }
  if (state_ == State::kHeld) return Refuse(CloseReason::kHoldTimeout, "");
  if (state_ == State::kHandshaking) {
    env_.report().OnHandshakeFailed(/*server=*/true, client_, "timeout",
                                    "the peer did not finish the handshake in time");
  }
  if (state_ == State::kSniffing) {
    if (policy().mode == MtlsMode::kStrict && !proven()) {
      return RefuseByPolicy("did not say anything in time");
    }
    if (!CloseIfIdle()) OnHalfABeginning();
    return;
  }
  Refuse(CloseReason::kHandshakeTimeout, "");
}

// What may still become a request is HTTP's to judge, or slowness would carry past it whatever a
// request must not say. Half a ClientHello is the application's, unless it speaks HTTP for sure.
void InboundConnection::OnHalfABeginning() {
  std::string copy;
  const bool hello =
      policy().mode != MtlsMode::kDisable && !proven() &&
      listener::SniffClientHello(seen_.View(&copy), kMeshAlpns) == Sniffed::kNeedMore;
  if (hello && !config::DeclaresHttp(policy().protocol)) return LetThrough();
  ServeHttp(http::Protocol::kHttp11);
}

void InboundConnection::RefuseByPolicy(absl::string_view what) {
  Refuse(CloseReason::kPolicyRefused,
         absl::StrCat(client_.ip().ToString(), " ", what, " where policy ", policy().policy,
                      " (STRICT) requires mesh mutual TLS; give the caller a sidecar, or set "
                      "PERMISSIVE for port ",
                      application_address_.port(), " in that policy"));
}

void InboundConnection::Refuse(CloseReason reason, const std::string& sentence) {
  if (state_ == State::kFinished) return;
  failure_ = reason;
  if (reason == CloseReason::kNoResources) env_.OnNoDescriptor(sentence);
  env_.report().OnInboundRefused(client_, application_address_.port(),
                                 env_.config() == nullptr ? "" : policy().policy, reason, sentence);
  if (http_ != nullptr) http_->manager().Abort(reason);
  downstream_.Reset();
  Finish();
}

void InboundConnection::OnClosed(ByteStream& stream, CloseReason reason) {
  if (&stream != &downstream_) {
    // Under PERMISSIVE the application may refuse before the client has spoken.
    return Refuse(reason == CloseReason::kFinished ? CloseReason::kPeerReset : reason,
                  absl::StrCat("the application at ", application_address_.ToString(),
                               " closed the connection: ", buffer::CloseReasonSentence(reason)));
  }
  if (state_ == State::kHandshaking && reason != CloseReason::kPeerReset) {
    env_.report().OnHandshakeFailed(/*server=*/true, client_, tls_->FailureLabel(),
                                    tls_->Explain());
  }
  Finish();
}

void InboundConnection::OnProxyDone(CloseReason reason, bool by_upstream) {
  if (by_upstream && reason != CloseReason::kFinished && reason != CloseReason::kPeerReset) {
    env_.report().OnInboundRefused(
        client_, application_address_.port(), policy().policy, reason,
        absl::StrCat("the application at ", application_address_.ToString(), ": ",
                     buffer::CloseReasonSentence(reason)));
  }
  if (by_upstream && reason != CloseReason::kFinished) failure_ = reason;
  Finish();
}

// A policy that becomes stricter acts on what is open already.
void InboundConnection::Reevaluate() {
  const MtlsMode mode = policy().mode;
  if ((state_ == State::kOpen || state_ == State::kHttp) && tls_ == nullptr &&
      mode == MtlsMode::kStrict) {
    return RefuseByPolicy("has an open plaintext connection");
  }
  if (proven() && state_ != State::kFinished && env_.Denied(*tls_->peer())) {
    return Refuse(CloseReason::kDenied, absl::StrCat("the identity ", tls_->peer()->id.ToString(),
                                                     " or its certificate was revoked"));
  }
  if (state_ != State::kSniffing || proven()) return;
  if (mode == MtlsMode::kStrict) {
    // The application must not speak to someone who has proved nothing.
    DropApplication();
    silence_timer_.Cancel();
    if (!timer_.armed()) timer_.Arm(env_.settings().handshake_timeout);
    return;
  }
  if (seen_.empty() && !seen_end_) {
    timer_.Cancel();
    if (application_ == nullptr) AwaitFirstBytes();
    return;
  }
  Decide();
}

void InboundConnection::DropApplication() {
  connect_timer_.Cancel();
  greeting_.Clear();
  greeting_stopped_ = greeting_end_ = false;
  if (application_ == nullptr) return;
  application_->Reset();
  env_.dispatcher().DeferredDelete(std::move(application_));
}

void InboundConnection::Finish() {
  if (state_ == State::kFinished) return;
  if (held_) env_.Unhold(*this);
  timer_.Cancel();
  connect_timer_.Cancel();
  silence_timer_.Cancel();
  if (application_ != nullptr) application_->Reset();
  if (closed_cell_ != nullptr) closed_cell_->Add(1);
  if (reported_peer_) env_.report().OnPeer(/*outbound=*/false, *tls_->peer(), /*began=*/false);
  state_ = State::kFinished;
  env_.Remove(*this);
}

void InboundConnection::Describe(ConnectionInfo* info) const {
  info->downstream = client_.ToString();
  info->destination = application_address_.ToString();
  info->upstream = application_ == nullptr ? "" : application_address_.ToString();
  info->security = proven() ? "mutual_tls" : "none";
  if (proven()) {
    info->peer_id = tls_->peer()->id.ToString();
    info->peer_serial = Hex(tls_->peer()->serial);
    info->peer_expires_unix = absl::ToUnixSeconds(tls_->peer()->not_after);
  }
  info->state = state_ == State::kHeld        ? "held"
                : state_ == State::kOpen      ? "open"
                : state_ != State::kHttp      ? "connecting"
                : http_->manager().draining() ? "draining"
                                              : "open";
  info->protocol = "tcp";
  info->bytes_in = proxy_.received();
  info->bytes_out = proxy_.sent();
  if (http_ == nullptr) return;
  info->upstream = application_address_.ToString();
  info->protocol = std::string(http::ProtocolName(http_->manager().protocol()));
  info->requests = http_->manager().requests();
  info->bytes_in = http_->manager().bytes_in();
  info->bytes_out = http_->manager().bytes_out();
}

}  // namespace countersign::pipeline
