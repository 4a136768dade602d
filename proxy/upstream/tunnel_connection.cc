#include "proxy/upstream/tunnel_connection.h"

#include <utility>

#include "absl/strings/str_cat.h"

namespace countersign::upstream {

using buffer::Buffer;
using buffer::CloseReason;
using http::h2::TunnelSession;
using http::h2::TunnelStream;

namespace {

// Framed in one go: more than one read of a socket brings, so that it leaves in one write.
constexpr size_t kMaxFramed = 384 * 1024;

std::unique_ptr<tls::TlsTransportSocket> NewTls(tls::TlsOptions options,
                                                tls::TlsTransportSocket** borrowed) {
  auto socket = std::make_unique<tls::TlsTransportSocket>(std::move(options), nullptr);
  *borrowed = socket.get();
  return socket;
}

}  // namespace

TunnelConnection::TunnelConnection(event::Dispatcher& dispatcher, Owner& owner, Options options,
                                   net::Socket socket, tls::TlsOptions tls)
    : dispatcher_(dispatcher),
      owner_(owner),
      options_(std::move(options)),
      frame_(this, [](void* self) { static_cast<TunnelConnection*>(self)->Frame(); }),
      timer_(dispatcher.timers(), this,
             [](void* self) { static_cast<TunnelConnection*>(self)->OnTimeout(); }),
      tls_(nullptr),
      connection_(dispatcher, std::move(socket), NewTls(std::move(tls), &tls_),
                  options_.role == TunnelSession::Role::kClient
                      ? net::Connection::State::kConnecting
                      : net::Connection::State::kConnected),
      session_(options_.role, *this, options_.limits),
      opened_at_(dispatcher.now()) {
  connection_.SetHandler(this);
  timer_.Arm(options_.open_timeout);
}

TunnelConnection::~TunnelConnection() {
  closed_ = true;  // nobody is told any more
}

void TunnelConnection::OnOpen(buffer::ByteStream&) {
  opened_at_ = dispatcher_.now();
  timer_.Arm(options_.open_timeout);
  OnSessionOutput();  // SETTINGS
  owner_.OnTunnelOpen(*this);
}

void TunnelConnection::OnTimeout() {
  if (!connection_.open()) {
    const CloseReason reason =
        connection_.connecting() ? CloseReason::kConnectTimeout : CloseReason::kHandshakeTimeout;
    connection_.Reset();
    return Finish(reason, buffer::CloseReasonSentence(reason));
  }
  // RFC 9113, section 6.5.3: the sender of SETTINGS may give up on a peer that does not answer.
  if (!session_.settings_acknowledged()) {
    connection_.Reset();
    Finish(CloseReason::kTunnelProtocol, "the peer did not acknowledge SETTINGS in time");
  }
}

void TunnelConnection::OnData(buffer::ByteStream&, Buffer& data, bool end) {
  if (!session_.Receive(data, dispatcher_.now())) {
    const std::string error = session_.error();
    Frame();  // GOAWAY
    if (!closed_) {
      connection_.Close();
      Finish(CloseReason::kTunnelProtocol, error);
    }
    return;
  }
  if (end && !closed_) {
    const bool busy = session_.active_streams() > 0;
    connection_.Close();
    Finish(busy ? CloseReason::kTunnelLost : CloseReason::kFinished,
           busy ? "the peer closed the tunnel under its streams" : "");
  }
}

void TunnelConnection::OnClosed(buffer::ByteStream&, CloseReason reason) {
  std::string explanation;
  if (reason == CloseReason::kTlsHandshake || reason == CloseReason::kTlsAlert) {
    explanation = tls_->Explain();
  } else if (reason == CloseReason::kTlsTruncated && session_.active_streams() == 0) {
    reason = CloseReason::kFinished;  // an idle peer that went without a word: nothing is lost
  } else if (reason != CloseReason::kFinished) {
    explanation = buffer::CloseReasonSentence(reason);
  }
  Finish(reason, std::move(explanation));
}

void TunnelConnection::Finish(CloseReason reason, std::string explanation) {
  if (closed_) return;
  closed_ = true;
  timer_.Cancel();
  frame_.Cancel();
  // Streams keep the reason that a person can use: the peer's alert rather than "lost".
  session_.CloseStreams(reason == CloseReason::kFinished || reason == CloseReason::kPeerReset
                            ? CloseReason::kTunnelLost
                            : reason);
  owner_.OnTunnelClosed(*this, reason, explanation);
}

void TunnelConnection::OnSessionOutput() {
  if (!closed_ && connection_.open()) dispatcher_.FrameAtTurnEnd(frame_);
}

void TunnelConnection::Frame() {
  if (closed_ || !connection_.open() || connection_.unsent() >= buffer::kHighWatermark) return;
  Buffer out;
  const bool alive = session_.Produce(out, kMaxFramed);
  if (closed_) return;
  const bool end = !alive || (ending_ && !session_.wants_write());
  if (!out.empty() || end) connection_.Write(out, end);
}

void TunnelConnection::OnTunnelRequest(std::unique_ptr<TunnelStream> stream,
                                       absl::string_view authority) {
  owner_.OnTunnelRequest(*this, std::move(stream), authority);
}

void TunnelConnection::OnSessionDraining() {
  if (!closed_) owner_.OnTunnelChanged(*this);
}

void TunnelConnection::OnStreamGone() {
  if (!closed_) owner_.OnTunnelChanged(*this);
}

void TunnelConnection::Abort(CloseReason reason) {
  if (closed_) return;
  connection_.Reset();
  Finish(reason, buffer::CloseReasonSentence(reason));
}

void TunnelConnection::CloseGracefully() {
  if (closed_ || ending_) return;
  ending_ = true;
  session_.Terminate(NGHTTP2_NO_ERROR);
  OnSessionOutput();
}

}  // namespace countersign::upstream
