#include "proxy/http/h2/session.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proxy/http/field_rules.h"
#include "proxy/http/h2/memory_pool.h"
#include "proxy/http/h2/session_callbacks.h"
#include "proxy/http/h2/session_options.h"

namespace countersign::http::h2 {

using buffer::Buffer;
using buffer::Slice;

namespace {

constexpr absl::string_view kStatus = ":status";
constexpr absl::string_view kReason = "x-countersign-reason";
constexpr absl::string_view kFlags = "x-countersign-flags";
// One request in so many puts the fields that change every time into the compression table: their
// names are found there by the others, whose values then do not push out what repeats.
constexpr uint32_t kIndexChanging = 64;
// The frame that asks whether the peer has seen our notice of going away.
constexpr uint8_t kShutdownPing[8] = {'d', 'r', 'a', 'i', 'n', 'i', 'n', 'g'};

uint8_t* Bytes(absl::string_view text) {
  return reinterpret_cast<uint8_t*>(const_cast<char*>(text.data()));
}

absl::string_view View(const uint8_t* bytes, size_t n) {
  return {reinterpret_cast<const char*>(bytes), n};
}

// Differs from one message to the next.
bool ChangesAlways(HeaderId id) {
  switch (id) {
    case HeaderId::kXRequestId:
    case HeaderId::kTraceparent:
    case HeaderId::kTracestate:
    case HeaderId::kB3:
    case HeaderId::kB3TraceId:
    case HeaderId::kB3SpanId:
    case HeaderId::kB3ParentSpanId:
    case HeaderId::kGrpcTimeout:
    case HeaderId::kXEnvoyUpstreamServiceTime:
      return true;
    default:
      return false;
  }
}

}  // namespace

class Session::Entry {
 public:
  explicit Entry(Session& session) : session_(session) { ++session_.entries_; }
  Entry(const Entry&) = delete;
  Entry& operator=(const Entry&) = delete;
  ~Entry() {
    if (--session_.entries_ == 0) session_.Sweep();
  }

 private:
  Session& session_;
};

Session::Session(Role role, Codec::Owner& owner, const CodecLimits& limits)
    : owner_(owner), limits_(limits), role_(role), ended_by_peer_(NGHTTP2_CLIENT_MAGIC_LEN) {
  nghttp2_mem* const memory = MemoryPool::ForThisThread().memory();
  const int result = role == Role::kClient
                         ? nghttp2_session_client_new3(&session_, Callbacks::Table(), this,
                                                       SessionOptions(), memory)
                         : nghttp2_session_server_new3(&session_, Callbacks::Table(), this,
                                                       SessionOptions(), memory);
  if (result != 0) std::abort();
  nghttp2_settings_entry settings[6] = {
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits.stream_window},
      {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, limits.max_frame},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits.max_header_bytes},
      {NGHTTP2_SETTINGS_NO_RFC7540_PRIORITIES, 1},
  };
  size_t count = 4;
  if (role == Role::kServer) {
    settings[count++] = {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS, limits.max_concurrent_streams};
    settings[count++] = {NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL, 1};
  } else {
    settings[count++] = {NGHTTP2_SETTINGS_ENABLE_PUSH, 0};
  }
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings, count);
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0,
                                        static_cast<int32_t>(limits.connection_window));
}

Session::~Session() { nghttp2_session_del(session_); }

void Session::Link(StreamCore& stream) {
  stream.session_ = this;
  stream.live_ = true;
  stream.next_ = streams_;
  if (streams_ != nullptr) streams_->previous_ = &stream;
  streams_ = &stream;
  ++active_;
}

void Session::Release(StreamCore& stream) {
  ReleaseWindow(stream);
  if (stream.submitted_) {
    nghttp2_session_set_stream_user_data(session_, stream.id_, nullptr);
  }
  if (stream.failing_) --failing_;
  if (heading_ == &stream) heading_ = nullptr;
  if (arriving_ == &stream) arriving_ = nullptr;
  (stream.previous_ != nullptr ? stream.previous_->next_ : streams_) = stream.next_;
  if (stream.next_ != nullptr) stream.next_->previous_ = stream.previous_;
  stream.previous_ = nullptr;
  stream.live_ = false;
  stream.handler_ = nullptr;
  stream.send_.Clear();
  stream.received_.Clear();
  --active_;
  stream.next_ = released_;
  released_ = &stream;
  if (entries_ == 0) Sweep();
}

void Session::Sweep() {
  while (released_ != nullptr) {
    StreamCore* stream = std::exchange(released_, released_->next_);
    stream->next_ = nullptr;
    Recycle(stream);
  }
}

void Session::End(StreamCore& stream, StreamEnd end) {
  const Entry entry(*this);
  Stream::Handler* const handler = stream.handler_;
  const bool known = stream.handed_out_;
  if (!known) OnNeverBegun(stream);
  Release(stream);
  if (known && handler != nullptr) handler->OnEnd(end);
  owner_.OnStreamGone();
}

void Session::Fail(StreamCore& stream, StreamEnd end) {
  stream.failing_ = true;
  stream.failure_ = end;
  ++failing_;
  NeedOutput();
}

void Session::NeedOutput() {
  if (output_told_) return;
  output_told_ = true;
  owner_.OnCodecOutput();
}

StreamCore* Session::Find(int32_t id) const {
  return static_cast<StreamCore*>(nghttp2_session_get_stream_user_data(session_, id));
}

uint32_t Session::RemoteSetting(nghttp2_settings_id id) const {
  return nghttp2_session_get_remote_settings(session_, id);
}

bool Session::TakeBudget(FrameClass frame_class) {
  if (budget_.Take(frame_class, now_)) return true;
  over_budget_ = true;
  return false;
}

void Session::BeCalm() {
  error_ =
      "the peer floods the connection with frames that carry nothing, or makes us reset streams";
  draining_ = true;
  nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM);
  NeedOutput();
}

bool Session::Break(uint32_t code, const char* sentence) {
  error_ = sentence;
  break_code_ = code;
  return false;
}

bool Session::MayBegin(int32_t id) {
  if (id > highest_id_) {
    highest_id_ = id;
    return true;
  }
  if (id == 0) return true;  // nghttp2 knows what to do
  if (nghttp2_session_find_stream(session_, id) != nullptr ||
      std::find(reset_by_us_.begin(), reset_by_us_.end(), id) != reset_by_us_.end()) {
    return true;
  }
  // RFC 9113, section 5.1.1.
  return Break(NGHTTP2_PROTOCOL_ERROR, "HTTP/2: a stream's number is smaller than one before it");
}

void Session::ReleaseWindow(StreamCore& stream) {
  if (windows_.Release(session_, stream.id_, stream.unconsumed_)) NeedOutput();
}

void Session::SubmitReset(StreamCore& stream, uint32_t code) {
  nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream.id_, code);
  NeedOutput();
}

void Session::AddField(absl::string_view name, absl::string_view value) {
  fields_.push_back(
      {Bytes(name), Bytes(value), name.size(), value.size(), NGHTTP2_NV_FLAG_NO_COPY_NAME});
}

void Session::AddFields(const HeaderMap& headers) {
  const bool index_all = heads_sent_++ % kIndexChanging == 0;
  for (const Field& field : headers.fields()) {
    uint8_t flags = NGHTTP2_NV_FLAG_NO_COPY_NAME;
    if (field.id == HeaderId::kOther) {
      flags = NGHTTP2_NV_FLAG_NONE;
    } else if (IsConnectionSpecific(field.id) || field.id == HeaderId::kHost ||
               field.id == HeaderId::kCountersignUpgrade) {
      continue;
    } else if (!index_all && ChangesAlways(field.id)) {
      flags |= NGHTTP2_NV_FLAG_NO_INDEX;
    }
    fields_.push_back(
        {Bytes(field.name), Bytes(field.value), field.name.size(), field.value.size(), flags});
  }
}

void Session::SubmitRequest(StreamCore& stream, bool end) {
  nghttp2_data_provider provider{};
  provider.read_callback = &Callbacks::Read;
  stream.head_sent_ = true;
  stream.send_ended_ = end;
  const int32_t id = nghttp2_submit_request(session_, nullptr, fields_.data(), fields_.size(),
                                            end ? nullptr : &provider, &stream);
  if (id < 0) {
    // Out of stream numbers: RFC 9113, section 5.1.1.
    draining_ = true;
    return Fail(stream, StreamEnd::kRefused);
  }
  stream.id_ = id;
  stream.submitted_ = true;
  NeedOutput();
}

void Session::SubmitResponse(StreamCore& stream, bool end) {
  nghttp2_data_provider provider{};
  provider.read_callback = &Callbacks::Read;
  stream.head_sent_ = true;
  stream.send_ended_ = end;
  nghttp2_submit_response(session_, stream.id_, fields_.data(), fields_.size(),
                          end ? nullptr : &provider);
  NeedOutput();
}

void Session::SubmitInformational(StreamCore& stream) {
  nghttp2_submit_headers(session_, NGHTTP2_FLAG_NONE, stream.id_, nullptr, fields_.data(),
                         fields_.size(), nullptr);
  NeedOutput();
}

void Session::SubmitTrailers(StreamCore& stream) {
  stream.has_trailers_ = false;
  BeginFields();
  AddFields(stream.trailers_to_send_);
  nghttp2_submit_trailer(session_, stream.id_, fields_.data(), fields_.size());
}

void Session::AnswerAndRelease(StreamCore& stream, absl::string_view status,
                               absl::string_view reason, absl::string_view body) {
  BeginFields();
  AddField(kStatus, status);
  AddField("content-type", "text/plain");
  AddField(kReason, reason);
  AddField(kFlags, kRefusalFlag);
  nghttp2_data_provider provider{};
  provider.source.ptr = const_cast<char*>(body.data());
  provider.read_callback = &Callbacks::ReadText;
  nghttp2_submit_response(session_, stream.id_, fields_.data(), fields_.size(), &provider);
  Release(stream);
  NeedOutput();
}

bool Session::AddReceivedField(StreamCore& stream, absl::string_view name,
                               absl::string_view value) {
  if (stream.too_large_) return true;
  HeaderMap& headers = stream.head_received_ ? stream.trailers_received_ : ReceivedHeaders(stream);
  const size_t size = name.size() + value.size() + 32;
  if (headers.size() >= limits_.max_headers ||
      stream.head_bytes_ + headers.byte_size() + size > limits_.max_header_bytes) {
    stream.too_large_ = true;
    return true;
  }
  if (name.empty()) return false;
  if (name[0] == ':') {
    stream.head_bytes_ += size;
    return !stream.head_received_ && AddPseudo(stream, name, value);
  }
  headers.Add(name, value);
  return true;
}

void Session::Deliver(StreamCore& stream, bool end) {
  if (end) stream.read_ended_ = true;
  if (stream.handler_ == nullptr) return stream.received_.Clear();
  if (stream.received_.empty() && !end) return;
  stream.handler_->OnData(stream.received_, end);
  // Handlers move it out; what one leaves is of no use to anybody.
  stream.received_.Clear();
}

void Session::DeliverTrailers(StreamCore& stream) {
  stream.read_ended_ = true;
  stream.trailers_received_.RemoveIf(IsForbiddenInTrailers);
  if (stream.handler_ != nullptr) stream.handler_->OnTrailers(stream.trailers_received_);
}

void Session::OnFrame(const nghttp2_frame& frame) {
  const bool end = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
  switch (frame.hd.type) {
    case NGHTTP2_DATA: {
      arriving_ = nullptr;
      // nghttp2 counts the length of the padding's length to the padding.
      if (frame.hd.length <= frame.data.padlen && !end) TakeBudget(FrameClass::kEmptyData);
      if (StreamCore* stream = Find(frame.hd.stream_id); stream != nullptr) Deliver(*stream, end);
      break;
    }
    case NGHTTP2_HEADERS: {
      head_since_ = Instant::max();
      StreamCore* stream = std::exchange(heading_, nullptr);
      if (stream == nullptr) break;
      if (!stream->head_received_) {
        OnHead(*stream, end);
      } else if (stream->too_large_) {
        stream->malformed_ = true;
        TakeBudget(FrameClass::kOurReset);
        SubmitReset(*stream, NGHTTP2_ENHANCE_YOUR_CALM);
      } else {
        DeliverTrailers(*stream);
      }
      break;
    }
    case NGHTTP2_PING:
      if ((frame.hd.flags & NGHTTP2_FLAG_ACK) != 0 && shutdown_pinged_ &&
          std::memcmp(frame.ping.opaque_data, kShutdownPing, sizeof kShutdownPing) == 0) {
        shutdown_pinged_ = false;
        nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE,
                              nghttp2_session_get_last_proc_stream_id(session_), NGHTTP2_NO_ERROR,
                              nullptr, 0);
        NeedOutput();
      }
      break;
    case NGHTTP2_SETTINGS:
      if ((frame.hd.flags & NGHTTP2_FLAG_ACK) == 0 && !settings_received_) {
        settings_received_ = true;
        head_since_ = Instant::max();
      }
      OnSettings();
      break;
    case NGHTTP2_RST_STREAM:
      if (StreamCore* stream = Find(frame.hd.stream_id); stream != nullptr) {
        stream->peer_reset_ = true;
      }
      break;
    case NGHTTP2_GOAWAY:
      OnGoaway();
      break;
    default:
      break;
  }
}

void Session::OnFrameSent(const nghttp2_frame& frame) {
  switch (frame.hd.type) {
    case NGHTTP2_HEADERS:
    case NGHTTP2_DATA: {
      const bool end = (frame.hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
      if (!end && (frame.hd.type == NGHTTP2_DATA || role_ == Role::kServer)) break;
      StreamCore* stream = Find(frame.hd.stream_id);
      if (stream != nullptr) stream->head_left_ = true;
      if (!end) break;
      if (stream != nullptr) stream->end_sent_ = true;
      // The answer is out, and the rest of the request is not wanted: RFC 9113, section 8.1.
      if (role_ == Role::kServer && (stream == nullptr || stream->stop_request_) &&
          nghttp2_session_get_stream_remote_close(session_, frame.hd.stream_id) == 0) {
        nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, frame.hd.stream_id,
                                  NGHTTP2_NO_ERROR);
      }
      break;
    }
    case NGHTTP2_RST_STREAM:
      ended_by_peer_.Forgive(static_cast<uint32_t>(frame.hd.stream_id));
      if (role_ == Role::kServer) {
        if (reset_by_us_.size() < kMaxForgiven) reset_by_us_.push_back(0);
        reset_by_us_[reset_count_++ % kMaxForgiven] = frame.hd.stream_id;
      }
      switch (frame.rst_stream.error_code) {
        // What the peer makes us send, as long as it lives ("MadeYouReset").
        case NGHTTP2_PROTOCOL_ERROR:
        case NGHTTP2_FLOW_CONTROL_ERROR:
        case NGHTTP2_STREAM_CLOSED:
        case NGHTTP2_FRAME_SIZE_ERROR:
        case NGHTTP2_REFUSED_STREAM:
          if (!TakeBudget(FrameClass::kOurReset) && error_.empty()) BeCalm();
          break;
        default:
          break;
      }
      break;
    case NGHTTP2_GOAWAY:
      if (frame.goaway.error_code != NGHTTP2_NO_ERROR && error_.empty()) {
        error_ = absl::StrCat("HTTP/2: ", nghttp2_http2_strerror(frame.goaway.error_code), ": ",
                              View(frame.goaway.opaque_data, frame.goaway.opaque_data_len));
      }
      break;
    default:
      break;
  }
}

void Session::OnClosed(StreamCore& stream, uint32_t error_code) {
  StreamEnd end = StreamEnd::kProtocolError;
  const bool finished = stream.read_ended_ && (stream.end_sent_ || role_ == Role::kClient);
  if (error_code == NGHTTP2_NO_ERROR && (finished || (stream.stop_request_ && stream.end_sent_))) {
    end = StreamEnd::kFinished;
  } else if (stream.peer_reset_) {
    end = error_code == NGHTTP2_REFUSED_STREAM ? StreamEnd::kRefused : StreamEnd::kPeerReset;
  } else if (stream.too_large_) {
    end = StreamEnd::kLimit;
  } else if (error_code == NGHTTP2_REFUSED_STREAM) {
    end = StreamEnd::kRefused;
  }
  End(stream, end);
}

void Session::Receive(Buffer& data, bool end, Instant now) {
  const Entry entry(*this);
  now_ = now;
  if (!started_) {
    started_ = true;
    head_since_ = now;
  }
  while (!data.empty() && !over_budget_) {
    in_ = data.front();
    const size_t n = in_->size();
    // Servers are not held to it: gRPC's says a call's end twice when it is cancelled as it ends.
    const size_t rightful = role_ == Role::kServer ? ended_by_peer_.Follow(in_->data(), n) : n;
    ssize_t used = nghttp2_session_mem_recv(session_, in_->data(), rightful);
    in_ = nullptr;
    if (used >= 0 && rightful < n) {
      Break(NGHTTP2_STREAM_CLOSED, "HTTP/2: the peer goes on with a stream that it had ended");
      used = NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    if (used < 0) {
      if (over_budget_ || used == NGHTTP2_ERR_FLOODED) {
        BeCalm();
      } else {
        if (error_.empty()) {
          error_ = absl::StrCat("HTTP/2: ", nghttp2_strerror(static_cast<int>(used)));
        }
        draining_ = true;
        nghttp2_session_terminate_session(session_, break_code_);
        NeedOutput();
      }
      data.Clear();
      break;
    }
    data.Drain(n);
  }
  if (arriving_ != nullptr) Deliver(*std::exchange(arriving_, nullptr), false);
  if (end) {
    peer_finished_ = true;
    CloseStreams();
    NeedOutput();
  }
  // Also to say that it is over: the peer has said GOAWAY and no stream is left.
  if (nghttp2_session_want_write(session_) || !nghttp2_session_want_read(session_)) NeedOutput();
}

bool Session::wants_write() const {
  return failing_ > 0 || nghttp2_session_want_write(session_) != 0;
}

bool Session::Produce(Buffer& out, size_t limit) {
  const Entry entry(*this);
  output_told_ = false;
  while (failing_ > 0) {
    for (StreamCore* stream = streams_; stream != nullptr; stream = stream->next_) {
      if (!stream->failing_) continue;
      End(*stream, stream->failure_);
      break;
    }
  }
  if (peer_finished_) return false;
  out_ = &out;
  out_limit_ = limit;
  const int result = nghttp2_session_send(session_);
  out_ = nullptr;
  if (result != 0) {
    if (error_.empty()) error_ = absl::StrCat("HTTP/2: ", nghttp2_strerror(result));
    return false;
  }
  return nghttp2_session_want_read(session_) != 0 || nghttp2_session_want_write(session_) != 0;
}

void Session::CloseStreams() {
  draining_ = true;
  const Entry entry(*this);
  while (streams_ != nullptr) {
    StreamEnd end = error_.empty() ? StreamEnd::kConnectionLost : StreamEnd::kProtocolError;
    // The peer has seen nothing of it.
    if (role_ == Role::kClient && !streams_->head_left_) end = StreamEnd::kRefused;
    End(*streams_, end);
  }
}

void Session::StartGracefulGoaway() {
  if (draining_) return;
  draining_ = true;
  nghttp2_submit_shutdown_notice(session_);
  shutdown_pinged_ = true;
  nghttp2_submit_ping(session_, NGHTTP2_FLAG_NONE, kShutdownPing);
  NeedOutput();
}

}  // namespace countersign::http::h2
