#include "proxy/upstream/pool/client_connection.h"

#include <algorithm>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/net/alpn.h"
#include "proxy/upstream/pool/client_codecs.h"

namespace countersign::upstream {

using buffer::Buffer;
using buffer::ByteStream;
using buffer::CloseReason;

namespace {

// Framed in one go. More than the high watermark: a connection that could not give everything away
// is above it, and hears when there is room again.
constexpr size_t kMaxFramed = 384 * 1024;
static_assert(kMaxFramed > buffer::kHighWatermark);

// How long a connection that ends may take to send what it has and to hear the peer's end.
constexpr std::chrono::milliseconds kEndTimeout{1'000};

// RFC 9113, section 3.4: the first frame of a server is SETTINGS, on stream 0. Says no as soon as
// the bytes that are there cannot be that.
bool BeginsLikeHttp2(const Buffer& data) {
  uint8_t head[9] = {};
  const size_t n = data.CopyOut(head, sizeof head);
  if (n > 0 && head[0] != 0) return false;  // no SETTINGS is 64 KiB long
  if (n > 3 && head[3] != 0x4) return false;
  return n < 9 || (head[5] == 0 && head[6] == 0 && head[7] == 0 && head[8] == 0);
}

}  // namespace

void ConnectionList::Add(ClientConnection& connection) {
  connection.next_ = head_;
  if (head_ != nullptr) head_->previous_ = &connection;
  head_ = &connection;
  ++size_;
}

void ConnectionList::Remove(ClientConnection& connection) {
  if (cursor_ == &connection) cursor_ = connection.next_;
  (connection.previous_ != nullptr ? connection.previous_->next_ : head_) = connection.next_;
  if (connection.next_ != nullptr) connection.next_->previous_ = connection.previous_;
  connection.next_ = connection.previous_ = nullptr;
  --size_;
}

ClientConnection* ConnectionList::Next(ClientConnection* connection) const {
  return connection->next_;
}

ClientConnection::ClientConnection(PoolShared& shared, Owner& owner, Options options)
    : shared_(shared),
      owner_(&owner),
      options_(std::move(options)),
      frame_(this, [](void* self) { static_cast<ClientConnection*>(self)->Frame(); }),
      timer_(shared.dispatcher.timers(), this,
             [](void* self) { static_cast<ClientConnection*>(self)->OnTimeout(); }) {
  http::CodecLimits limits = shared_.limits;
  limits.max_concurrent_streams = options_.max_streams;
  if (mesh()) limits.AllowForSidecar();
  codec_ = NewClientCodec(options_.protocol, *this, limits);
  info_.remote = options_.endpoint.address;
  info_.protocol = options_.protocol;
  shared_.connections.Add(*this);
}

ClientConnection::~ClientConnection() {
  if (!closed_) shared_.connections.Remove(*this);
  closed_ = true;  // nobody is told any more
  HbonePool::Request::Cancel();
  codec_.reset();  // while the rest of us is there
}

void ClientConnection::Connect() {
  const config::Endpoint& endpoint = options_.endpoint;
  timer_.Arm(options_.connect_timeout);
  if (mesh() && shared_.context == nullptr) {
    return Finish(CloseReason::kHoldTimeout, "this proxy has no certificate yet");
  }
  if (options_.max_age.count() > 0) {
    // Not all at the same time: up to a tenth earlier.
    const auto tenth = static_cast<uint32_t>(options_.max_age.count() / 10 + 1);
    retire_at_ = shared_.dispatcher.now() + options_.max_age -
                 std::chrono::milliseconds(shared_.random.Below(tenth));
  }
  switch (endpoint.transport) {
    case config::EndpointTransport::kPlaintext:
      return ConnectSocket(endpoint.address, std::make_unique<net::RawTransportSocket>());
    case config::EndpointTransport::kHbone:
      if (!endpoint.mesh_http) {
        return shared_.tunnels.NewStream(endpoint.tunnel, endpoint.identity, endpoint.address,
                                         options_.connect_timeout, *this);
      }
      [[fallthrough]];
    case config::EndpointTransport::kTls: {
      tls::TlsOptions options;
      options.context = shared_.context;
      options.alpn = net::kMeshHttpAlpn;
      options.expected_id = endpoint.identity;
      options.verifier = &shared_.verifier;
      options.clock = &shared_.dispatcher.clock();
      auto transport = std::make_unique<tls::TlsTransportSocket>(std::move(options), nullptr);
      tls_ = transport.get();
      return ConnectSocket(endpoint.address, std::move(transport));
    }
  }
}

void ClientConnection::ConnectSocket(const net::Address& address,
                                     std::unique_ptr<net::TransportSocket> transport) {
  int error = 0;
  net::Socket socket = net::Socket::Connect(address, &error);
  if (!socket.valid()) {
    return Finish(net::ConnectFailure(error), std::strerror(error));
  }
  socket.SetKeepAlive();
  auto connection =
      std::make_unique<net::Connection>(shared_.dispatcher, std::move(socket), std::move(transport),
                                        net::Connection::State::kConnecting);
  socket_ = connection.get();
  connection->SetHandler(this);
  stream_ = std::move(connection);
}

void ClientConnection::OnStreamReady(std::unique_ptr<http::h2::TunnelStream> stream,
                                     TunnelConnection& tunnel) {
  stream->SetHandler(this);
  tunnel_ = stream.get();
  stream_ = std::move(stream);
  info_.peer = tunnel.peer();
  info_.local = tunnel.local_address();
  // HTTP/2's first bytes prove that the far end is there; HTTP/1 waits for the tunnel's answer.
  if (options_.protocol == http::Protocol::kHttp2) OnOpen(*stream_);
}

void ClientConnection::OnStreamFailed(CloseReason reason, const std::string& explanation) {
  Finish(reason, explanation);
}

void ClientConnection::OnOpen(ByteStream&) {
  if (closed_ || open_) return;
  open_ = true;
  const event::Instant now = shared_.dispatcher.now();
  const auto retire_by = [this, now](absl::Time not_after) {
    const absl::Duration left = not_after - shared_.dispatcher.clock().Wall();
    if (left >= absl::Hours(24 * 365)) return;
    retire_at_ = std::min(retire_at_, now + absl::ToChronoMilliseconds(left));
  };
  if (tls_ != nullptr) {
    info_.peer = tls_->peer();
    shared_.observer.OnPeerConnected(*info_.peer);
    peer_reported_ = true;
    // A certificate's life bounds that of what was agreed with it, on either side.
    if (shared_.context != nullptr) retire_by(shared_.context->secret().not_after);
  }
  if (info_.peer != nullptr) retire_by(info_.peer->not_after);
  if (socket_ != nullptr) {
    info_.local = socket_->socket().LocalAddress().value_or(net::Address());
    // Our own application, by the pod's address.
    if (info_.local.ip() == info_.remote.ip() && !info_.local.ip().IsLoopback()) {
      socket_->socket().SetHostLocal();
    }
  }
  OnCodecOutput();  // the preface
  if (options_.protocol != http::Protocol::kHttp2) BecomeReady();
}

void ClientConnection::BecomeReady() {
  ready_ = true;
  if (state_ == State::kConnecting) state_ = State::kOpen;
  timer_.Cancel();
  BecomeIdle();
  owner_->OnConnectionReady(*this);
  if (retire_once_ready_) Retire();
}

void ClientConnection::BecomeIdle() {
  idle_since_ = shared_.dispatcher.now();
  if (state_ != State::kOpen) return;
  if (finished()) return EndGracefully();
  // Armed once and for all: when it comes due, it looks since when the connection has been idle.
  if (!timer_.armed()) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(retire_at_ - idle_since_);
    timer_.Arm(std::clamp(options_.idle_timeout, std::chrono::milliseconds(0),
                          std::max(left, std::chrono::milliseconds(0))));
  }
}

bool ClientConnection::usable() const {
  return ready_ && !finished() && state_ == State::kOpen &&
         codec_->active_streams() < codec_->max_streams() && shared_.dispatcher.now() < retire_at_;
}

uint32_t ClientConnection::room() const {
  if (finished()) return 0;
  const uint32_t limit = options_.protocol == http::Protocol::kHttp2 ? codec_->max_streams() : 1;
  return limit - std::min(limit, codec_->active_streams());
}

http::ClientStream* ClientConnection::NewStream(http::ClientStream::Handler& handler) {
  http::ClientStream* stream = codec_->NewStream(handler);
  if (stream == nullptr) return nullptr;
  info_.reused = requests_ > 0;
  if (++requests_ == options_.max_requests) retired_ = true;
  return stream;
}

void ClientConnection::OnData(ByteStream&, Buffer& data, bool end) {
  if (closed_) return data.Clear();
  // Unasked-for bytes on an idle HTTP/1 connection would be taken for the next request's answer.
  if (!data.empty() && options_.protocol != http::Protocol::kHttp2 &&
      codec_->active_streams() == 0) {
    data.Clear();
    stream_->Reset();
    return Finish(CloseReason::kFinished, "");
  }
  if (!ready_ && !BeginsLikeHttp2(data)) {
    data.Clear();
    stream_->Reset();
    return Finish(CloseReason::kTunnelProtocol, "the peer does not speak HTTP/2");
  }
  codec_->Receive(data, end, shared_.dispatcher.now());
  if (closed_) return;
  if (!ready_ && !codec_->error().empty()) {
    stream_->Reset();
    return Finish(CloseReason::kTunnelProtocol, codec_->error());
  }
  if (!ready_ && !end) BecomeReady();
  if (closed_) return;
  if (end) {
    if (!ready_) {
      stream_->Reset();
      return Finish(CloseReason::kPeerReset, "the peer closed the connection at once");
    }
    if (half_open()) {
      retired_ = true;  // the tunnel's other direction goes on
    } else {
      EndGracefully();
    }
  } else if (codec_->draining() && codec_->active_streams() == 0) {
    EndGracefully();
  }
}

void ClientConnection::OnWritable(ByteStream&) {
  if (closed_) return;
  codec_->OnConnectionWritable();
  OnCodecOutput();
}

void ClientConnection::OnCodecOutput() {
  if (!closed_ && open_) shared_.dispatcher.FrameAtTurnEnd(frame_);
}

void ClientConnection::Frame() {
  const bool resetting = codec_->ending() == http::Ending::kReset;
  if (closed_ || (end_written_ && !half_open() && !resetting)) return;
  if (state_ == State::kEnding && !goodbye_said_) {
    goodbye_said_ = true;
    codec_->StartDrain();
  }
  if (stream_->unsent() >= buffer::kHighWatermark && !resetting) return;
  Buffer out;
  const bool alive = codec_->Produce(out, kMaxFramed);
  if (closed_) return;
  if (!alive && codec_->ending() == http::Ending::kReset) {
    stream_->Reset();
    return Finish(CloseReason::kFinished, "");
  }
  if (!alive && codec_->ending() == http::Ending::kFinish) {
    // With the tunnel's other direction over as well the connection closes once all is sent.
    if (codec_->active_streams() == 0) EndGracefully();
    if (!std::exchange(end_written_, true)) stream_->Write(out, /*end=*/true);
    return;
  }
  const bool end = !alive || (state_ == State::kEnding && codec_->active_streams() == 0 &&
                              !codec_->wants_write());
  if (out.empty() && !end) return;
  if (end && out.empty() && options_.protocol != http::Protocol::kHttp2) {
    // HTTP/1 has no farewell, and what the server may still say is of no use.
    if (socket_ != nullptr && stream_->unsent() == 0) {
      socket_->Close();
    } else {
      stream_->Reset();
    }
    return Finish(CloseReason::kFinished, "");
  }
  if (end) {
    end_written_ = true;
    if (state_ != State::kEnding) {
      state_ = State::kEnding;
      timer_.Arm(kEndTimeout);
    }
  }
  stream_->Write(out, end);
}

void ClientConnection::OnCodecReadDisable(bool disable) {
  if (!closed_ && stream_ != nullptr) stream_->ReadDisable(disable);
}

void ClientConnection::OnStreamGone() {
  if (closed_) return;
  if (codec_->active_streams() == 0) BecomeIdle();
  owner_->OnConnectionChanged(*this);
}

void ClientConnection::OnPeerDraining() {
  if (closed_) return;
  if (codec_->active_streams() == 0 && ready_) EndGracefully();
  owner_->OnConnectionChanged(*this);
}

void ClientConnection::Retire() {
  if (closed_ || retired_) return;
  if (!ready_) {
    retire_once_ready_ = true;
    return;
  }
  retired_ = true;
  if (codec_->active_streams() == 0) EndGracefully();
}

void ClientConnection::EndGracefully() {
  if (closed_ || state_ == State::kEnding) return;
  state_ = State::kEnding;
  retired_ = true;
  timer_.Arm(kEndTimeout);
  OnCodecOutput();
}

void ClientConnection::OnTimeout() {
  const event::Instant now = shared_.dispatcher.now();
  switch (state_) {
    case State::kConnecting: {
      CloseReason reason = CloseReason::kConnectTimeout;
      std::string explanation = buffer::CloseReasonSentence(reason);
      if (open_) {
        explanation = "the peer did not send its HTTP/2 SETTINGS in time";
      } else if (tls_ != nullptr && !socket_->connecting()) {
        reason = CloseReason::kHandshakeTimeout;
        explanation = buffer::CloseReasonSentence(reason);
      }
      if (stream_ != nullptr) stream_->Reset();
      return Finish(reason, std::move(explanation));
    }
    case State::kOpen: {
      if (codec_->active_streams() > 0) return timer_.Arm(options_.idle_timeout);
      const event::Instant due = std::min(idle_since_ + options_.idle_timeout, retire_at_);
      if (now >= due) {
        EndGracefully();
        return owner_->OnConnectionChanged(*this);
      }
      return timer_.Arm(std::chrono::ceil<std::chrono::milliseconds>(due - now));
    }
    case State::kEnding: {
      // A tunnel's last bytes leave as their reader takes them.
      const size_t unsent = codec_->ending() == http::Ending::kFinish ? stream_->unsent() : 0;
      if (unsent > 0 && unsent != std::exchange(last_unsent_, unsent)) {
        return timer_.Arm(options_.idle_timeout);
      }
      const bool busy = codec_->active_streams() > 0;
      if (stream_ != nullptr) stream_->Reset();
      return Finish(busy ? CloseReason::kPeerReset : CloseReason::kFinished,
                    busy ? "the peer closed the connection under its requests" : "");
    }
    case State::kClosed:
      return;
  }
}

void ClientConnection::OnClosed(ByteStream&, CloseReason reason) {
  std::string explanation;
  const bool busy = codec_->active_streams() > 0;
  if (tls_ != nullptr &&
      (reason == CloseReason::kTlsHandshake || reason == CloseReason::kTlsAlert)) {
    explanation = tls_->Explain();
  } else if (ready_ && !busy && reason != CloseReason::kFinished &&
             reason != CloseReason::kDenied) {
    reason = CloseReason::kFinished;  // an idle peer that went without a word: nothing is lost
  } else if (reason != CloseReason::kFinished) {
    explanation = buffer::CloseReasonSentence(reason);
    if (tunnel_ != nullptr && !tunnel_->refusal().empty()) {
      absl::StrAppend(&explanation, " with status ", tunnel_->status(), ": ", tunnel_->refusal());
    }
  } else if (!ready_) {
    reason = CloseReason::kPeerReset;
    explanation = buffer::CloseReasonSentence(reason);
  }
  Finish(reason, std::move(explanation));
}

void ClientConnection::Abort(CloseReason reason) {
  if (closed_) return;
  if (stream_ != nullptr) stream_->Reset();
  Finish(reason, buffer::CloseReasonSentence(reason));
}

void ClientConnection::Finish(CloseReason reason, std::string explanation) {
  if (closed_) return;
  closed_ = true;
  state_ = State::kClosed;
  timer_.Cancel();
  frame_.Cancel();
  HbonePool::Request::Cancel();
  shared_.connections.Remove(*this);
  if (!codec_->error().empty()) {
    reason = CloseReason::kTunnelProtocol;
    explanation = absl::StrCat("the peer broke the rules of ",
                               http::ProtocolName(options_.protocol), ": ", codec_->error());
  }
  info_.close_reason = reason;
  info_.close_explanation = explanation;
  if (peer_reported_) shared_.observer.OnPeerDisconnected(*info_.peer);
  // TLS 1.3 lets a client finish before the server has judged its certificate, so a refusal may
  // come as an alert on an open connection.
  if (tls_ != nullptr && !ready_ &&
      (reason == CloseReason::kTlsHandshake || reason == CloseReason::kTlsAlert ||
       reason == CloseReason::kHandshakeTimeout)) {
    shared_.observer.OnHandshakeFailed(
        options_.endpoint.address, tls_->FailureLabel(),
        absl::StrCat(explanation, " (peer: ", options_.endpoint.identity.ToString(), ")"));
  }
  codec_->OnConnectionClosed();
  owner_->OnConnectionClosed(*this, reason, explanation);
}

}  // namespace countersign::upstream
