#include "proxy/http/h1/h1_client_codec.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "proxy/buffer/byte_stream.h"

namespace countersign::http::h1 {

using buffer::Buffer;

namespace {

// More 1xx than any server has reason to send before its answer.
constexpr uint8_t kMaxInformational = 32;
constexpr char kWrongLength[] = "the request's body disagrees with its Content-Length";

// Methods whose requests usually have a body: for these its absence is said (RFC 9110,
// section 8.6).
bool AnticipatesBody(absl::string_view method) {
  return method == "POST" || method == "PUT" || method == "PATCH";
}

}  // namespace

void H1ClientStream::SendHeaders(const RequestHead& head, bool end) {
  if (live_ && !head_sent_) codec_.SendHead(head, end);
}

void H1ClientStream::SendData(Buffer& data, bool end) {
  if (!live_ || !head_sent_ || request_done_) return data.Clear();
  codec_.SendBody(data, end);
}

void H1ClientStream::SendTrailers(const HeaderMap& trailers) {
  if (!live_ || !head_sent_ || request_done_) return;
  if (!codec_.writer_.WriteTrailers(trailers, codec_.encoder_, &codec_.out_)) {
    return codec_.Break(kWrongLength);
  }
  request_done_ = true;
  codec_.NeedOutput();
}

size_t H1ClientStream::unsent() const { return codec_.out_.size(); }

void H1ClientStream::ReadDisable(bool disable) {
  if (disable) {
    ++read_disabled_;
  } else if (--read_disabled_ == 0 && live_) {
    // What waits comes with the next output: never from in here.
    codec_.resume_ = true;
    codec_.NeedOutput();
  }
  if (live_) codec_.UpdateReadDisable();
}

void H1ClientStream::Reset() {
  if (!live_) return;
  live_ = false;
  handler_ = nullptr;
  // Not a byte of it has left: the connection is as good as before.
  if (!head_left_ && codec_.state_ != H1ClientCodec::State::kDead && codec_.in_.empty()) {
    codec_.out_.Clear();
    codec_.state_ = H1ClientCodec::State::kIdle;
  } else {
    if (codec_.state_ == H1ClientCodec::State::kTunnel) codec_.ending_ = Ending::kReset;
    codec_.out_.Clear();
    codec_.Close();
  }
  codec_.owner_.OnStreamGone();
}

H1ClientCodec::H1ClientCodec(ClientCodec::Owner& owner, const CodecLimits& limits)
    : owner_(owner), limits_(limits) {}

ClientStream* H1ClientCodec::NewStream(ClientStream::Handler& handler) {
  if (state_ != State::kIdle || stream_.live_ || draining_ || peer_drains_ || closing_) {
    return nullptr;
  }
  stream_.response_.Clear();
  stream_.context_ = {};
  stream_.handler_ = &handler;
  stream_.read_disabled_ = 0;
  stream_.informational_ = 0;
  stream_.live_ = true;
  stream_.upgrade_ = stream_.head_sent_ = stream_.head_left_ = stream_.request_done_ = false;
  stream_.head_received_ = stream_.response_done_ = stream_.above_high_ = false;
  return &stream_;
}

void H1ClientCodec::NeedOutput() {
  if (output_told_) return;
  output_told_ = true;
  owner_.OnCodecOutput();
}

void H1ClientCodec::UpdateReadDisable() {
  const bool disable = stream_.live_ && stream_.read_disabled_ > 0 &&
                       (state_ == State::kBody || state_ == State::kTunnel);
  if (disable == read_disable_told_) return;
  read_disable_told_ = disable;
  owner_.OnCodecReadDisable(disable);
}

void H1ClientCodec::PeerDrains() {
  if (peer_drains_) return;
  peer_drains_ = true;
  owner_.OnPeerDraining();
}

void H1ClientCodec::StartDrain() {
  draining_ = true;
  if (!stream_.live_) Close();
}

void H1ClientCodec::SendHead(const RequestHead& head, bool end) {
  using Length = Announcement::Length;
  H1ClientStream& stream = stream_;
  stream.context_ = {.head = head.is_head(), .connect = head.is_connect()};
  stream.upgrade_ = !head.upgrade.empty();
  Announcement announcement;
  BodyKind kind = BodyKind::kNone;
  uint64_t length = 0;
  const Field* const given = head.headers.Find(HeaderId::kContentLength);
  if (head.opens_tunnel()) {
    announcement.length = Length::kNone;
    announcement.upgrade = head.upgrade;
    kind = BodyKind::kUntilClose;
    // Whatever the answer: RFC 9112, section 9.3, would let it be used again, but what was sent
    // early would then be read as a request.
    keep_alive_ = false;
  } else if (end) {
    const bool zero = given != nullptr || AnticipatesBody(head.method);
    announcement.length = zero ? Length::kZero : Length::kNone;
  } else if (given != nullptr && absl::SimpleAtoi(given->value, &length)) {
    kind = BodyKind::kLength;
  } else {
    kind = BodyKind::kChunked;
    announcement.length = Length::kChunked;
  }
  announcement.close = draining_;
  writer_.Start(kind, length);
  encoder_.Encode(head, announcement, &out_);
  stream.head_sent_ = true;
  stream.request_done_ = end;
  state_ = State::kHead;
  NeedOutput();
}

void H1ClientCodec::SendBody(Buffer& data, bool end) {
  if (!writer_.Write(data, end, &out_)) return Break(kWrongLength);
  if (end) stream_.request_done_ = true;
  if (out_.size() >= buffer::kHighWatermark) stream_.above_high_ = true;
  NeedOutput();
}

void H1ClientCodec::Receive(Buffer& data, bool end, Instant now) {
  now_ = now;
  if (state_ == State::kDead) {
    data.Clear();
    return;
  }
  in_.Move(data);
  if (end) peer_finished_ = true;
  Process();
  if (end && state_ != State::kDead) {
    PeerDrains();
    if (!stream_.live_ || state_ == State::kDone) {
      // Whoever has answered and gone wants no more of the request.
      Close();
      EndStream(StreamEnd::kFinished);
    }
  }
  UpdateReadDisable();
}

void H1ClientCodec::Process() {
  if (processing_) return;  // somebody up the stack is at it, and goes on
  processing_ = true;
  for (bool more = true; more;) {
    switch (state_) {
      case State::kIdle:
        more = false;
        if (!in_.empty()) Break("the peer sent an answer that nobody had asked for");
        break;
      case State::kHead:
        more = ProcessHead();
        break;
      case State::kBody:
        more = ProcessBody();
        break;
      case State::kTunnel:
        more = ProcessTunnel();
        break;
      case State::kDone:
        more = false;
        if (!in_.empty()) {
          keep_alive_ = false;
          in_.Clear();
        }
        break;
      case State::kDead:
        in_.Clear();
        more = false;
        break;
    }
  }
  processing_ = false;
}

bool H1ClientCodec::ProcessHead() {
  using Result = HeadCollector::Result;
  if (in_.empty()) {
    if (!peer_finished_) return false;
    const bool begun = collector_.partial() || stream_.informational_ > 0;
    Close();
    EndStream(begun ? StreamEnd::kPeerReset : LostEnd());
    return false;
  }
  switch (collector_.Collect(in_, limits_.max_request_line + limits_.max_header_bytes)) {
    case Result::kComplete:
      OnHead();
      return true;
    case Result::kIncomplete:
      if (collector_.partial() && head_since_ == Instant::max()) head_since_ = now_;
      return peer_finished_;
    case Result::kTooLarge:
    case Result::kLineTooLong:
      error_ = "the answer's header fields are larger than this proxy takes";
      Close();
      EndStream(StreamEnd::kLimit);
      return false;
    case Result::kMalformed:
      Break("the lines of the answer's head do not end with CR LF");
      return false;
  }
  return false;
}

void H1ClientCodec::OnHead() {
  head_since_ = Instant::max();
  ResponseHead& head = stream_.response_;
  ResponseFraming framing;
  const Fault fault =
      ParseResponseHead(collector_.head(), limits_, stream_.context_, &head, &framing);
  collector_.Consume(in_);
  if (fault) {
    if (fault.status != 431) return Break(fault.sentence);
    error_ = fault.sentence;
    Close();
    return EndStream(StreamEnd::kLimit);
  }
  if (head.status < 200 && head.status != 101) {
    if (++stream_.informational_ > kMaxInformational) {
      return Break("the peer sends more 1xx answers than any server has reason to");
    }
    stream_.handler_->OnInformational(head);
    if (stream_.live_) head.Clear();
    return;
  }
  if (head.status == 101 && !stream_.upgrade_) {
    return Break("the peer switches protocols, which nobody had asked for");
  }
  stream_.head_received_ = true;
  if (!framing.keep_alive) {
    keep_alive_ = false;
    PeerDrains();
  }
  if (head.status == 101 || (stream_.context_.connect && head.status / 100 == 2)) {
    state_ = State::kTunnel;
    ending_ = Ending::kFinish;
    if (stream_.request_done_) NeedOutput();  // its end waited for this
    stream_.handler_->OnHeaders(head, false);
    return;
  }
  if (framing.body == BodyKind::kNone) {
    ResponseDone();
    stream_.handler_->OnHeaders(head, true);
    return;
  }
  state_ = State::kBody;
  reader_.Start(framing.body, framing.length, limits_);
  stream_.handler_->OnHeaders(head, false);
}

bool H1ClientCodec::ProcessBody() {
  if (!stream_.live_ || stream_.read_disabled_ > 0) return false;
  if (in_.empty() && !peer_finished_) return false;
  switch (reader_.Read(in_, body_)) {
    case BodyReader::Result::kMore:
      if (!peer_finished_ || !in_.empty()) {
        const bool any = !body_.empty();
        if (any) stream_.handler_->OnData(body_, false);
        body_.Clear();
        return any;
      }
      if (reader_.until_close()) {
        ResponseDone();
        stream_.handler_->OnData(body_, true);
        body_.Clear();
        return true;
      }
      if (!body_.empty()) {
        stream_.handler_->OnData(body_, false);
        body_.Clear();
        return true;
      }
      Close();
      EndStream(StreamEnd::kPeerReset);
      return false;
    case BodyReader::Result::kDone:
      ResponseDone();
      stream_.handler_->OnData(body_, true);
      body_.Clear();
      return true;
    case BodyReader::Result::kDoneWithTrailers:
      if (!body_.empty()) stream_.handler_->OnData(body_, false);
      body_.Clear();
      if (!stream_.live_) return false;
      ResponseDone();
      stream_.handler_->OnTrailers(reader_.trailers());
      return true;
    case BodyReader::Result::kBad:
      body_.Clear();
      Break(reader_.fault().sentence);
      return false;
  }
  return false;
}

bool H1ClientCodec::ProcessTunnel() {
  if (!stream_.live_ || stream_.response_done_ || stream_.read_disabled_ > 0) return false;
  if (in_.empty() && !peer_finished_) return false;
  PassTunnel();
  return !peer_finished_;
}

void H1ClientCodec::PassTunnel() {
  const bool end = peer_finished_;
  body_.Move(in_);
  if (end) {
    stream_.response_done_ = true;
    NeedOutput();
  }
  stream_.handler_->OnData(body_, end);
  body_.Clear();
}

void H1ClientCodec::ResponseDone() {
  stream_.response_done_ = true;
  state_ = State::kDone;
  if (!in_.empty()) {
    // RFC 9112, section 6.3: not to be taken for an answer to the next request.
    error_ = "the peer sent bytes behind the end of its answer";
    keep_alive_ = false;
    in_.Clear();
  }
  NeedOutput();
}

bool H1ClientCodec::MaybeFinish() {
  if (!stream_.live_ || !stream_.response_done_ || !stream_.request_done_ || !out_.empty()) {
    return false;
  }
  if (!keep_alive_ || draining_ || peer_finished_) {
    Close();
    PeerDrains();
  } else {
    state_ = State::kIdle;
  }
  EndStream(StreamEnd::kFinished);
  return true;
}

void H1ClientCodec::Close() {
  closing_ = true;
  state_ = State::kDead;
  in_.Clear();
  head_since_ = Instant::max();
  NeedOutput();
}

void H1ClientCodec::Break(const char* sentence) {
  error_ = sentence;
  out_.Clear();
  Close();
  PeerDrains();
  broken_ = stream_.live_;
}

void H1ClientCodec::EndStream(StreamEnd end) {
  if (!stream_.live_) return;
  stream_.live_ = false;
  ClientStream::Handler* const handler = std::exchange(stream_.handler_, nullptr);
  handler->OnEnd(end);
  owner_.OnStreamGone();
}

bool H1ClientCodec::Produce(Buffer& out, size_t limit) {
  output_told_ = true;  // no need to be told while it runs
  for (;;) {
    if (!out_.empty() && limit > out.size()) {
      out.Move(out_, limit - out.size());
      stream_.head_left_ = true;
    }
    if (std::exchange(broken_, false)) EndStream(StreamEnd::kProtocolError);
    if (stream_.live_ && stream_.above_high_ && out_.size() <= buffer::kLowWatermark) {
      stream_.above_high_ = false;
      stream_.handler_->OnWritable();
    }
    if (std::exchange(resume_, false)) Process();
    MaybeFinish();
    if (out_.empty() && !broken_ && !resume_) break;
    if (out.size() >= limit) break;
  }
  output_told_ = false;
  UpdateReadDisable();
  return !out_.empty() || !(half_closed() || (closing_ && !stream_.live_));
}

bool H1ClientCodec::wants_write() const {
  return !out_.empty() || closing_ || broken_ ||
         (stream_.live_ && stream_.response_done_ && stream_.request_done_);
}

void H1ClientCodec::OnConnectionClosed() {
  if (half_closed() && peer_finished_ && out_.empty()) {
    // Both directions are over, and the connection with them, before Produce could say so. What
    // waited for its reader goes on now.
    if (!stream_.response_done_) PassTunnel();
    EndStream(StreamEnd::kFinished);
  }
  state_ = State::kDead;
  closing_ = true;
  in_.Clear();
  EndStream(LostEnd());
}

StreamEnd H1ClientCodec::LostEnd() const {
  // The peer has seen nothing of it.
  if (!stream_.head_left_) return StreamEnd::kRefused;
  return error_.empty() ? StreamEnd::kConnectionLost : StreamEnd::kProtocolError;
}

}  // namespace countersign::http::h1
