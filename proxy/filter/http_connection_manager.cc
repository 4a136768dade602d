#include "proxy/filter/http_connection_manager.h"

#include <algorithm>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proxy/filter/client_cert_header.h"
#include "proxy/http/h1/h1_server_codec.h"
#include "proxy/http/h2/h2_server_codec.h"
#include "proxy/stats/families.h"

namespace countersign::filter {

using buffer::Buffer;
using buffer::CloseReason;
using event::Instant;

namespace {

// Framed in one go: more than one read of a socket brings, so that it leaves in one write.
constexpr size_t kMaxFramed = 384 * 1024;

// Between GOAWAY (or the wish to close) and the end of an idle connection: a request that crossed
// it on the way is served. HTTP/1 has no word for "no more", so its clients get more time to say
// theirs and hear `connection: close` (RFC 9112, section 9.6; RFC 9113, section 6.8).
constexpr std::chrono::milliseconds kLastRequestsHttp2{1'000};
constexpr std::chrono::milliseconds kLastRequestsHttp1{5'000};

// How long a connection that comes during the drain is served before it hears of it: whoever opened
// it has requests for it.
constexpr std::chrono::milliseconds kStraggler{5'000};

// A client that has closed its sending half may wait for the answer, or be gone: TCP does not say.
// So much time the answer has.
constexpr std::chrono::milliseconds kHalfClosed{10'000};

constexpr absl::string_view kRequestTimeout =
    "HTTP/1.1 408 Request Timeout\r\nx-countersign-reason: request_headers_timeout\r\n"
    "x-countersign-flags: DPE\r\n"
    "content-type: text/plain; charset=utf-8\r\ncontent-length: 52\r\nconnection: close\r\n\r\n"
    "The request's head did not arrive complete in time.\n";

const char* Direction(bool inbound) { return inbound ? "inbound" : "outbound"; }

http::CodecLimits LimitsOf(const config::HttpOptions& options, bool sidecar) {
  http::CodecLimits limits;
  limits.max_header_bytes = options.max_header_bytes;
  limits.max_headers = options.max_headers;
  limits.max_concurrent_streams = options.max_concurrent_streams;
  if (sidecar) limits.AllowForSidecar();
  return limits;
}

}  // namespace

HttpConnectionManager::HttpConnectionManager(HttpShared& shared, Owner& owner,
                                             HttpConnectionOptions options)
    : shared_(shared),
      owner_(owner),
      options_(std::move(options)),
      frame_(this, [](void* self) { static_cast<HttpConnectionManager*>(self)->Frame(); }),
      timer_(shared.dispatcher().timers(), this,
             [](void* self) { static_cast<HttpConnectionManager*>(self)->OnTimer(); }) {
  if (!options_.inbound || options_.peer == nullptr) return;
  switch (owner_.http_options().forward_client_cert) {
    case config::HttpOptions::ForwardClientCert::kNone:
      break;
    case config::HttpOptions::ForwardClientCert::kXfcc:
      client_cert_ = XfccOf(options_.own_id, *options_.peer);
      client_cert_name_ = http::HeaderId::kXForwardedClientCert;
      break;
    case config::HttpOptions::ForwardClientCert::kRfc9440:
      client_cert_ = ClientCertOf(*options_.peer);
      client_cert_name_ = http::HeaderId::kClientCert;
      client_cert_chain_ = ClientCertChainOf(*options_.peer);
      break;
  }
}

HttpConnectionManager::~HttpConnectionManager() {
  // Only when the worker ends with connections open: nobody is told, and requests go back.
  if (closed_ || codec_ == nullptr) return;
  closed_ = dying_ = true;
  codec_->OnConnectionClosed();
}

void HttpConnectionManager::Start(buffer::ByteStream& stream, http::Protocol protocol, Buffer& seen,
                                  bool end) {
  const Instant now = shared_.dispatcher().now();
  const config::HttpOptions& options = owner_.http_options();
  stream_ = &stream;
  stream.SetHandler(this);
  http::ServerCodec::Owner& owner = *this;
  const http::CodecLimits limits = LimitsOf(options, options_.peer != nullptr);
  if (protocol == http::Protocol::kHttp2) {
    codec_ = std::make_unique<http::h2::H2ServerCodec>(owner, limits);
  } else {
    codec_ = std::make_unique<http::h1::H1ServerCodec>(owner, limits);
  }
  shared_.stats()
      .Get(stats::kHttpConnections, {Direction(options_.inbound), http::ProtocolName(protocol)})
      .Add(1);
  idle_since_ = progress_at_ = now;
  if (options.max_connection_age.count() > 0) {
    // A tenth either way: connections that began together do not end together.
    const int64_t age = options.max_connection_age.count();
    const int64_t jitter = static_cast<int64_t>(shared_.Random() % (age / 5 + 1)) - age / 10;
    drain_at_ = now + std::chrono::milliseconds(age + jitter);
  }
  ArmBy(std::min(now + options.idle_timeout, drain_at_));
  if (codec_->wants_write()) FrameAtTurnEnd();
  if (!seen.empty() || end) OnData(stream, seen, end);
}

void HttpConnectionManager::OnData(buffer::ByteStream&, Buffer& data, bool end) {
  if (closed_ || output_ended_) return data.Clear();
  const Instant now = shared_.dispatcher().now();
  bytes_in_ += data.size();
  codec_->Receive(data, end, now);
  if (closed_) return;
  if (!error_told_ && !codec_->error().empty()) TellError();
  if (codec_->head_since() != Instant::max()) {
    ArmBy(codec_->head_since() + owner_.http_options().request_headers_timeout);
  }
  if (!end) return;
  read_ended_ = true;
  if (codec_->protocol() == http::Protocol::kHttp2 && active_ > 0) {
    // Its streams cannot go on: what a client of HTTP/2 finishes are streams, not connections.
    return Abort(CloseReason::kPeerReset);
  }
  half_closed_at_ = now;
  ArmBy(now + kHalfClosed);
  FrameAtTurnEnd();
}

// Of HTTP/1 OnBadRequest has told already; of HTTP/2 only what cost a single stream.
void HttpConnectionManager::TellError() {
  error_told_ = true;
  if (protocol() == http::Protocol::kHttp2) owner_.OnHttpRefused("http2_protocol", codec_->error());
}

void HttpConnectionManager::OnWritable(buffer::ByteStream&) {
  if (closed_) return;
  codec_->OnConnectionWritable();
  FrameAtTurnEnd();
}

void HttpConnectionManager::OnClosed(buffer::ByteStream&, CloseReason reason) { Finish(reason); }

void HttpConnectionManager::OnRequest(http::ServerStream& stream) {
  ++requests_;
  if (active_ == 0) ArmBy(shared_.dispatcher().now() + owner_.http_options().stream_idle_timeout);
  HttpRequest& request = shared_.Acquire(options_.inbound);
  request.previous_ = nullptr;
  request.next_ = first_;
  if (first_ != nullptr) first_->previous_ = &request;
  first_ = &request;
  ++active_;
  request.Start(*this, stream);
}

void HttpConnectionManager::Remove(HttpRequest& request) {
  (request.previous_ == nullptr ? first_ : request.previous_->next_) = request.next_;
  if (request.next_ != nullptr) request.next_->previous_ = request.previous_;
  --active_;
  shared_.Release(request, options_.inbound);
  if (active_ > 0) return;
  idle_since_ = shared_.dispatcher().now();
  if (ending() || read_ended_) FrameAtTurnEnd();
}

void HttpConnectionManager::OnBadRequest(uint16_t status, absl::string_view sentence) {
  owner_.OnHttpRefused(http::RefusalReason(status), sentence);
}

void HttpConnectionManager::OnCodecReadDisable(bool disable) {
  if (closed_ || read_disabled_ == disable) return;
  read_disabled_ = disable;
  stream_->ReadDisable(disable);
}

void HttpConnectionManager::OnStreamGone() {
  if (!closed_ && (ending() || read_ended_)) FrameAtTurnEnd();
}

void HttpConnectionManager::FrameAtTurnEnd() {
  if (!closed_) shared_.dispatcher().FrameAtTurnEnd(frame_);
}

void HttpConnectionManager::Frame() {
  if (closed_ || output_ended_) return;
  // A client that does not read is no reason to keep a reset back.
  if (stream_->unsent() >= buffer::kHighWatermark && codec_->ending() != http::Ending::kReset) {
    return;
  }
  Buffer out;
  const bool alive = codec_->Produce(out, kMaxFramed);
  if (closed_) return;
  if (!alive && codec_->ending() == http::Ending::kReset) return Abort(CloseReason::kLocalReset);
  const bool over = read_ended_ && active_ == 0 && !codec_->wants_write();
  // The client of a tunnel may go on after the answer's end.
  const bool half =
      !alive && codec_->ending() == http::Ending::kFinish && codec_->active_streams() > 0;
  if (over || (!alive && !half)) return EndOutput(out);
  if (ending() && active_ == 0) ArmBy(shared_.dispatcher().now() + last_requests());
  const bool end = half && !answer_ended_;
  if (end) answer_ended_ = true;
  if (out.empty() && !end) return;
  if (stream_->unsent() == 0) {
    progress_at_ = shared_.dispatcher().now();
    progress_ = framed_;
  }
  framed_ += out.size();
  stream_->Write(out, end);
  if (codec_->wants_write()) FrameAtTurnEnd();
}

// The last bytes go out, and the peer is given a moment to read them: closing at once, with input
// unread, would reset the connection and destroy the answer on its way (RFC 9112, section 9.6).
void HttpConnectionManager::EndOutput(Buffer& last) {
  output_ended_ = true;
  framed_ += last.size();
  if (!answer_ended_) stream_->Write(last, /*end=*/true);
  if (read_disabled_) OnCodecReadDisable(false);
  close_at_ = shared_.dispatcher().now() + owner_.http_options().delayed_close_timeout;
  ArmBy(close_at_);
}

void HttpConnectionManager::ArmBy(Instant deadline) {
  if (deadline >= timer_at_ || closed_) return;
  timer_at_ = deadline;
  const auto after =
      std::chrono::ceil<std::chrono::milliseconds>(deadline - shared_.dispatcher().now());
  timer_.Arm(std::max(after, std::chrono::milliseconds(0)));
}

// One timer for all of a connection's time-outs. It is armed by whoever needs it earlier, and not
// moved when a byte comes: what is due is found out here.
void HttpConnectionManager::OnTimer() {
  timer_at_ = Instant::max();
  const Instant now = shared_.dispatcher().now();
  const config::HttpOptions& options = owner_.http_options();
  Instant next = Instant::max();
  const auto due = [now, &next](Instant deadline) {
    if (now >= deadline) return true;
    next = std::min(next, deadline);
    return false;
  };
  // A client that takes nothing of what it asked for.
  if (stream_->unsent() > 0) {
    if (const uint64_t gone = framed_ - stream_->unsent(); gone != progress_) {
      progress_ = gone;
      progress_at_ = now;
    }
    if (due(progress_at_ + options.stream_idle_timeout)) {
      owner_.OnHttpRefused("slow_reader",
                           absl::StrCat("it has taken none of ", stream_->unsent(), " bytes for ",
                                        options.stream_idle_timeout.count(), " ms"));
      return Abort(CloseReason::kIdleTimeout);
    }
  }
  if (output_ended_) {
    if (stream_->unsent() > 0) {
      close_at_ = now + options.delayed_close_timeout;
    }
    if (due(close_at_)) return Abort(CloseReason::kFinished);
    return ArmBy(next);
  }
  // A head that does not end. It stands in the way of the connection's other streams.
  if (codec_->head_since() != Instant::max() &&
      due(codec_->head_since() + options.request_headers_timeout)) {
    return TimeOutHead();
  }
  if (read_ended_ && active_ > 0 && !first_->is_tunnel() && due(half_closed_at_ + kHalfClosed)) {
    return Abort(CloseReason::kPeerReset);
  }
  // Requests whose answer is complete and not taken. While the router has them they have its
  // time-outs.
  for (HttpRequest* request = first_; request != nullptr;) {
    HttpRequest* const following = request->next();
    if (due(request->last_activity() + options.stream_idle_timeout) && request->answered()) {
      request->Abort(router::kStreamIdleTimeout);
      if (closed_) return;
    }
    request = following;
  }
  if (active_ > 0) next = std::min(next, now + options.stream_idle_timeout);
  if (due(drain_at_)) {
    drain_at_ = Instant::max();
    StartDrain();
  }
  if (active_ == 0 && (codec_->head_since() == Instant::max() || !ending()) &&
      due(idle_since_ + (ending() ? last_requests() : options.idle_timeout))) {
    if (protocol() != http::Protocol::kHttp2 || draining()) {
      CloseIdle();
      return;
    }
    // GOAWAY first, and then the same moment for what crosses it.
    idle_since_ = now;
    StartDrain();
    next = std::min(next, now + last_requests());
  }
  ArmBy(std::max(next, now + std::chrono::milliseconds(1)));
}

void HttpConnectionManager::TimeOutHead() {
  owner_.OnHttpRefused("request_headers_timeout",
                       absl::StrCat("the request's head did not arrive complete within ",
                                    owner_.http_options().request_headers_timeout.count(), " ms"));
  if (protocol() == http::Protocol::kHttp2) return Abort(CloseReason::kIdleTimeout);
  Buffer last;
  (void)codec_->Produce(last, kMaxFramed);
  last.Append(kRequestTimeout);
  EndOutput(last);
}

std::chrono::milliseconds HttpConnectionManager::last_requests() const {
  return protocol() == http::Protocol::kHttp2 ? kLastRequestsHttp2 : kLastRequestsHttp1;
}

void HttpConnectionManager::StartDrainSoon() {
  if (closed_ || codec_ == nullptr) return;
  // HTTP/1 says it with the next answer, which is there for the asking.
  if (protocol() != http::Protocol::kHttp2) return StartDrain();
  straggler_ = true;
  drain_at_ = std::min(drain_at_, shared_.dispatcher().now() + kStraggler);
  ArmBy(std::min(drain_at_, shared_.dispatcher().now() + last_requests()));
}

void HttpConnectionManager::CloseIdle() {
  codec_->StartDrain();
  Buffer last;
  (void)codec_->Produce(last, kMaxFramed);
  if (!closed_) EndOutput(last);
}

void HttpConnectionManager::StartDrain() {
  if (closed_ || output_ended_ || codec_ == nullptr || draining()) return;
  codec_->StartDrain();
  FrameAtTurnEnd();
}

bool HttpConnectionManager::CloseIfIdle() {
  if (closed_ || output_ended_ || codec_ == nullptr || active_ > 0 ||
      codec_->head_since() != Instant::max()) {
    return false;
  }
  CloseIdle();
  return true;
}

void HttpConnectionManager::Abort(CloseReason reason) {
  if (closed_) return;
  stream_->Reset();
  Finish(reason);
}

void HttpConnectionManager::Finish(CloseReason reason) {
  if (closed_) return;
  closed_ = true;
  timer_.Cancel();
  frame_.Cancel();
  // Requests that are left end here, as their client's doing.
  codec_->OnConnectionClosed();
  owner_.OnHttpDone(reason);
}

}  // namespace countersign::filter
