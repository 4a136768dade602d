#include "proxy/http/h1/h1_server_codec.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "proxy/buffer/byte_stream.h"

namespace countersign::http::h1 {

using buffer::Buffer;

namespace {

constexpr char kWrongLength[] = "the response's body disagrees with its Content-Length";

}  // namespace

void H1ServerStream::SendInformational(const ResponseHead& head) {
  // RFC 9110, section 15.2: not to HTTP/1.0.
  if (!live_ || head_sent_ || request_.protocol == Protocol::kHttp10) return;
  if (head.status == 100) continued_ = true;
  codec_.encoder_.Encode(head, {.length = Announcement::Length::kNone}, &codec_.out_);
  codec_.NeedOutput();
}

void H1ServerStream::SendHeaders(const ResponseHead& head, bool end) {
  if (live_ && !head_sent_) codec_.SendHead(head, end);
}

void H1ServerStream::SendData(Buffer& data, bool end) {
  if (!live_ || response_done_) return data.Clear();
  codec_.SendBody(data, end);
}

void H1ServerStream::SendTrailers(const HeaderMap& trailers) {
  if (!live_ || response_done_) return;
  if (!head_sent_) return;
  if (!codec_.writer_.WriteTrailers(trailers, codec_.encoder_, &codec_.out_)) {
    codec_.error_ = kWrongLength;
    codec_.Close();
  }
  response_done_ = true;
  codec_.NeedOutput();
}

size_t H1ServerStream::unsent() const { return codec_.out_.size(); }

void H1ServerStream::ReadDisable(bool disable) {
  if (disable) {
    ++read_disabled_;
  } else if (--read_disabled_ == 0 && live_) {
    // What waits comes with the next output: never from in here.
    codec_.resume_ = true;
    codec_.NeedOutput();
  }
  if (live_) codec_.UpdateReadDisable();
}

void H1ServerStream::Reset() {
  if (!live_) return;
  live_ = false;
  handler_ = nullptr;
  if (head_sent_ && codec_.writer_.until_close()) {
    codec_.ending_ = Ending::kReset;
    codec_.out_.Clear();
  }
  codec_.Close();
  codec_.owner_.OnStreamGone();
}

void H1ServerStream::StopRequest() {
  if (!live_ || request_done_) return;
  stop_request_ = true;
  codec_.in_.Clear();
  codec_.UpdateReadDisable();
  codec_.NeedOutput();
}

H1ServerCodec::H1ServerCodec(ServerCodec::Owner& owner, const CodecLimits& limits)
    : owner_(owner), limits_(limits) {}

void H1ServerCodec::NeedOutput() {
  if (output_told_) return;
  output_told_ = true;
  owner_.OnCodecOutput();
}

void H1ServerCodec::UpdateReadDisable() {
  bool disable = false;
  switch (state_) {
    case State::kHead:
    case State::kDead:
      break;
    case State::kBody:
    case State::kTunnel:
      disable = stream_.live_ && stream_.read_disabled_ > 0 && !stream_.stop_request_;
      break;
    case State::kHeld:
    case State::kBusy:
      disable = in_.size() >= kMaxHeld;
      break;
  }
  if (disable == read_disable_told_) return;
  read_disable_told_ = disable;
  owner_.OnCodecReadDisable(disable);
}

void H1ServerCodec::Receive(Buffer& data, bool end, Instant now) {
  now_ = now;
  if (state_ == State::kDead) {
    data.Clear();
    return;
  }
  in_.Move(data);
  if (end) peer_finished_ = true;
  Process();
  UpdateReadDisable();
}

void H1ServerCodec::Process() {
  if (processing_) return;  // somebody up the stack is at it, and goes on
  processing_ = true;
  for (bool more = true; more;) {
    switch (state_) {
      case State::kHead:
        more = ProcessHead();
        break;
      case State::kBody:
        more = ProcessBody();
        break;
      case State::kTunnel:
        more = ProcessTunnel();
        break;
      case State::kDead:
        in_.Clear();
        more = false;
        break;
      case State::kHeld:
      case State::kBusy:
        more = false;
        break;
    }
  }
  processing_ = false;
}

bool H1ServerCodec::ProcessHead() {
  using Result = HeadCollector::Result;
  if (!in_.empty()) {
    switch (collector_.Collect(in_, limits_.max_request_line + limits_.max_header_bytes)) {
      case Result::kComplete:
        BeginRequest();
        return true;
      case Result::kIncomplete:
        if (collector_.partial() && head_since_ == Instant::max()) head_since_ = now_;
        break;
      case Result::kTooLarge:
        RefuseHead({431, "the header fields are larger than this proxy takes"});
        return true;
      case Result::kLineTooLong:
        RefuseHead({414, "the request's target is longer than this proxy takes"});
        return true;
      case Result::kMalformed:
        RefuseHead({400, "the lines of the request's head do not end with CR LF"});
        return true;
    }
  }
  if (peer_finished_) Close();
  return false;
}

void H1ServerCodec::BeginRequest() {
  head_since_ = Instant::max();
  stream_.request_.Clear();
  stream_.framing_ = {};
  const Fault fault =
      ParseRequestHead(collector_.head(), limits_, &stream_.request_, &stream_.framing_);
  collector_.Consume(in_);
  if (fault) return RefuseHead(fault);
  stream_.handler_ = nullptr;
  stream_.read_disabled_ = 0;
  stream_.live_ = true;
  stream_.body_begun_ = stream_.continued_ = stream_.head_sent_ = false;
  stream_.response_done_ = stream_.stop_request_ = stream_.above_high_ = false;
  keep_alive_ = stream_.framing_.keep_alive;
  if (stream_.request_.opens_tunnel()) {
    stream_.request_done_ = false;
    state_ = State::kHeld;
  } else if (stream_.framing_.body == BodyKind::kNone) {
    stream_.request_done_ = true;
    state_ = State::kBusy;
  } else {
    stream_.request_done_ = false;
    state_ = State::kBody;
    reader_.Start(stream_.framing_.body, stream_.framing_.length, limits_);
  }
  owner_.OnRequest(stream_);
}

bool H1ServerCodec::ProcessBody() {
  if (!stream_.live_) return false;
  if (stream_.stop_request_) {
    in_.Clear();
    return false;
  }
  if (stream_.read_disabled_ > 0) return false;
  if (in_.empty() && !peer_finished_) return false;
  const BodyReader::Result result = reader_.Read(in_, body_);
  if (!body_.empty()) stream_.body_begun_ = true;
  switch (result) {
    case BodyReader::Result::kMore:
      if (!body_.empty()) {
        if (stream_.handler_ != nullptr) stream_.handler_->OnData(body_, false);
        body_.Clear();
        return true;
      }
      if (!peer_finished_ || !in_.empty()) return false;
      // It went away in the middle of its request.
      Close();
      EndStream(StreamEnd::kPeerReset);
      return false;
    case BodyReader::Result::kDone:
      RequestDone();
      if (stream_.handler_ != nullptr) stream_.handler_->OnData(body_, true);
      body_.Clear();
      return true;
    case BodyReader::Result::kDoneWithTrailers:
      if (!body_.empty() && stream_.handler_ != nullptr) stream_.handler_->OnData(body_, false);
      body_.Clear();
      RequestDone();
      if (stream_.live_ && stream_.handler_ != nullptr) {
        stream_.handler_->OnTrailers(reader_.trailers());
      }
      return true;
    case BodyReader::Result::kBad:
      body_.Clear();
      Fail(reader_.fault(), StreamEnd::kProtocolError);
      return true;
  }
  return false;
}

bool H1ServerCodec::ProcessTunnel() {
  if (!stream_.live_ || stream_.request_done_ || stream_.read_disabled_ > 0) return false;
  if (in_.empty() && !peer_finished_) return false;
  PassTunnel();
  return !peer_finished_;
}

void H1ServerCodec::PassTunnel() {
  const bool end = peer_finished_;
  body_.Move(in_);
  if (end) stream_.request_done_ = true;
  if (stream_.handler_ != nullptr) stream_.handler_->OnData(body_, end);
  body_.Clear();
  if (end) NeedOutput();
}

void H1ServerCodec::RequestDone() {
  stream_.request_done_ = true;
  if (state_ == State::kBody) state_ = State::kBusy;
  if (stream_.response_done_) NeedOutput();
}

void H1ServerCodec::SendHead(const ResponseHead& head, bool end) {
  using Length = Announcement::Length;
  H1ServerStream& stream = stream_;
  const bool http10 = stream.request_.protocol == Protocol::kHttp10;
  Announcement announcement;
  BodyKind kind = BodyKind::kUntilClose;
  uint64_t length = 0;
  const bool upgraded = head.status == 101 && !stream.request_.upgrade.empty();
  const bool connected = stream.request_.is_connect() && head.status / 100 == 2;
  if (upgraded || connected) {
    announcement.length = Length::kNone;
    announcement.upgrade = upgraded ? stream.request_.upgrade : absl::string_view();
    keep_alive_ = false;
    state_ = State::kTunnel;
    ending_ = Ending::kFinish;
  } else {
    if (stream.request_.opens_tunnel()) {
      // What the client has sent since is of no protocol that anyone agreed upon.
      keep_alive_ = false;
      stream.request_done_ = true;
      in_.Clear();
      state_ = State::kBusy;
    }
    // RFC 9110, section 10.1.1: the client need not send a body that was never asked for, so what
    // comes next may be another request.
    if (stream.framing_.expects_continue && !stream.continued_ && !stream.body_begun_ &&
        !stream.request_done_) {
      keep_alive_ = false;
    }
    if (draining_ || stream.stop_request_) keep_alive_ = false;
    const Field* const given = head.headers.Find(HeaderId::kContentLength);
    if (stream.request_.is_head() || head.status == 304) {
      kind = BodyKind::kNone;
    } else if (head.status == 204 || head.status == 205 || head.status < 200) {
      kind = BodyKind::kNone;
      announcement.length = head.status == 205 ? Length::kZero : Length::kNone;
    } else if (end) {
      kind = BodyKind::kNone;
      announcement.length = Length::kZero;
    } else if (given != nullptr && absl::SimpleAtoi(given->value, &length)) {
      kind = BodyKind::kLength;
    } else if (http10) {
      announcement.length = Length::kNone;
      keep_alive_ = false;
    } else {
      kind = BodyKind::kChunked;
      announcement.length = Length::kChunked;
    }
    announcement.close = !keep_alive_;
    announcement.keep_alive = keep_alive_ && http10;
  }
  writer_.Start(kind, length);
  encoder_.Encode(head, announcement, &out_);
  stream.head_sent_ = true;
  stream.response_done_ = end;
  NeedOutput();
}

void H1ServerCodec::SendBody(Buffer& data, bool end) {
  if (!stream_.head_sent_) return data.Clear();
  if (!writer_.Write(data, end, &out_)) {
    error_ = kWrongLength;
    Close();
    end = true;
  }
  if (end) stream_.response_done_ = true;
  if (out_.size() >= buffer::kHighWatermark) stream_.above_high_ = true;
  NeedOutput();
}

void H1ServerCodec::Close() {
  closing_ = true;
  keep_alive_ = false;
  state_ = State::kDead;
  in_.Clear();
  head_since_ = Instant::max();
  NeedOutput();
}

void H1ServerCodec::EndStream(StreamEnd end) {
  if (!stream_.live_) return;
  stream_.live_ = false;
  if (Stream::Handler* handler = std::exchange(stream_.handler_, nullptr); handler != nullptr) {
    handler->OnEnd(end);
  }
  owner_.OnStreamGone();
}

void H1ServerCodec::Answer(const Fault& fault) {
  ResponseHead head;
  head.status = fault.status;
  const std::string body =
      absl::StrCat(fault.status, " ", ReasonPhrase(fault.status), ": ", fault.sentence, ".\n");
  const std::string length = absl::StrCat(body.size());
  head.headers.AddBorrowed(HeaderId::kContentType, "text/plain");
  head.headers.AddBorrowed(HeaderId::kContentLength, length);
  head.headers.AddBorrowed(HeaderId::kCountersignReason, RefusalReason(fault.status));
  head.headers.AddBorrowed(HeaderId::kCountersignFlags, kRefusalFlag);
  encoder_.Encode(head, {.close = true}, &out_);
  out_.Append(body);
}

void H1ServerCodec::RefuseHead(const Fault& fault) {
  error_ = fault.sentence;
  Answer(fault);
  Close();
  owner_.OnBadRequest(fault.status, fault.sentence);
}

void H1ServerCodec::Fail(const Fault& fault, StreamEnd end) {
  error_ = fault.sentence;
  if (!stream_.head_sent_) Answer(fault);
  Close();
  EndStream(end);
}

bool H1ServerCodec::MaybeFinish() {
  if (!finishing() || !out_.empty()) return false;
  const bool whole = (stream_.request_done_ || stream_.stop_request_) && error_.empty();
  if (!keep_alive_ || !stream_.request_done_) {
    Close();
  } else {
    state_ = State::kHead;
  }
  EndStream(whole ? StreamEnd::kFinished : StreamEnd::kProtocolError);
  return true;
}

bool H1ServerCodec::Produce(Buffer& out, size_t limit) {
  output_told_ = true;  // no need to be told while it runs
  for (;;) {
    if (!out_.empty()) out.Move(out_, limit > out.size() ? limit - out.size() : 0);
    if (stream_.live_ && stream_.above_high_ && out_.size() <= buffer::kLowWatermark) {
      stream_.above_high_ = false;
      if (stream_.handler_ != nullptr) stream_.handler_->OnWritable();
    }
    const bool finished = MaybeFinish();
    // A request that was kept back, or a tunnel's first bytes.
    if (finished || std::exchange(resume_, false) || state_ == State::kTunnel) Process();
    if (out_.empty() && !(finished && stream_.live_) && !finishing()) break;
    if (out.size() >= limit) break;
  }
  output_told_ = false;
  UpdateReadDisable();
  return !out_.empty() || !(half_closed() || (closing_ && !stream_.live_));
}

bool H1ServerCodec::wants_write() const { return !out_.empty() || closing_ || finishing(); }

void H1ServerCodec::OnConnectionClosed() {
  if (half_closed() && peer_finished_ && out_.empty()) {
    // Both directions are over, and the connection with them, before Produce could say so. What
    // waited for its reader goes on now.
    if (!stream_.request_done_) PassTunnel();
    EndStream(StreamEnd::kFinished);
  }
  state_ = State::kDead;
  closing_ = true;
  in_.Clear();
  EndStream(error_.empty() ? StreamEnd::kConnectionLost : StreamEnd::kProtocolError);
}

}  // namespace countersign::http::h1
