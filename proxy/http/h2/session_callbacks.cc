#include "proxy/http/h2/session_callbacks.h"

#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "proxy/buffer/byte_stream.h"
#include "proxy/http/h2/unknown_frames.h"

namespace countersign::http::h2 {

namespace {

absl::string_view View(const uint8_t* bytes, size_t n) {
  return {reinterpret_cast<const char*>(bytes), n};
}

}  // namespace

const nghttp2_session_callbacks* Session::Callbacks::Table() {
  static nghttp2_session_callbacks* const table = [] {
    nghttp2_session_callbacks* c;
    if (nghttp2_session_callbacks_new(&c) != 0) std::abort();
    nghttp2_session_callbacks_set_send_callback(c, &Send);
    nghttp2_session_callbacks_set_send_data_callback(c, &SendData);
    nghttp2_session_callbacks_set_data_source_read_length_callback(c, &ReadLength);
    nghttp2_session_callbacks_set_on_frame_send_callback(c, &OnFrameSend);
    nghttp2_session_callbacks_set_on_begin_frame_callback(c, &OnBeginFrame);
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, &OnBeginHeaders);
    nghttp2_session_callbacks_set_on_header_callback(c, &OnHeader);
    nghttp2_session_callbacks_set_on_invalid_header_callback(c, &OnInvalidHeader);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, &OnFrameReceived);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(c, &OnInvalidFrame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, &OnDataChunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, &OnStreamClose);
    ReportUnknownFrames(c);
    return c;
  }();
  return table;
}

ssize_t Session::Callbacks::Send(nghttp2_session*, const uint8_t* data, size_t length, int,
                                 void* user) {
  Session& self = Self(user);
  if (self.out_->size() >= self.out_limit_) return NGHTTP2_ERR_WOULDBLOCK;
  self.out_->Append(data, length);
  return static_cast<ssize_t>(length);
}

ssize_t Session::Callbacks::ReadLength(nghttp2_session*, uint8_t, int32_t, int32_t session_window,
                                       int32_t stream_window, uint32_t max_frame, void* user) {
  return std::min<int64_t>({session_window, stream_window, max_frame,
                            static_cast<int64_t>(Self(user).limits_.max_frame)});
}

ssize_t Session::Callbacks::Read(nghttp2_session*, int32_t id, uint8_t*, size_t length,
                                 uint32_t* flags, nghttp2_data_source*, void* user) {
  Session& self = Self(user);
  StreamCore* stream = self.Find(id);
  if (stream == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  if (stream->send_.empty() && !stream->send_ended_) {
    stream->deferred_ = true;
    return NGHTTP2_ERR_DEFERRED;
  }
  const size_t n = std::min(length, stream->send_.size());
  *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
  if (stream->send_ended_ && n == stream->send_.size()) {
    *flags |= NGHTTP2_DATA_FLAG_EOF;
    if (stream->has_trailers_) {
      *flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
      self.SubmitTrailers(*stream);
    }
  }
  return static_cast<ssize_t>(n);
}

int Session::Callbacks::SendData(nghttp2_session*, nghttp2_frame* frame, const uint8_t* header,
                                 size_t length, nghttp2_data_source*, void* user) {
  Session& self = Self(user);
  StreamCore* stream = self.Find(frame->hd.stream_id);
  if (stream == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
  if (self.out_->size() >= self.out_limit_) return NGHTTP2_ERR_WOULDBLOCK;
  self.out_->Append(header, 9);
  self.out_->Gather(stream->send_, length);
  if (stream->above_high_ && stream->send_.size() <= buffer::kLowWatermark) {
    stream->above_high_ = false;
    stream->handler_->OnWritable();
  }
  return 0;
}

ssize_t Session::Callbacks::ReadText(nghttp2_session*, int32_t, uint8_t* out, size_t length,
                                     uint32_t* flags, nghttp2_data_source* source, void*) {
  const char* text = static_cast<const char*>(source->ptr);
  const size_t n = std::min(length, std::strlen(text));
  std::memcpy(out, text, n);
  source->ptr = const_cast<char*>(text + n);
  if (text[n] == '\0') *flags |= NGHTTP2_DATA_FLAG_EOF;
  return static_cast<ssize_t>(n);
}

int Session::Callbacks::OnFrameSend(nghttp2_session*, const nghttp2_frame* frame, void* user) {
  Self(user).OnFrameSent(*frame);
  return 0;
}

int Session::Callbacks::OnBeginFrame(nghttp2_session*, const nghttp2_frame_hd* header, void* user) {
  Session& self = Self(user);
  FrameClass frame_class = FrameClass::kUnknown;
  switch (header->type) {
    case NGHTTP2_HEADERS:
      return self.role_ == Role::kClient || self.MayBegin(header->stream_id)
                 ? 0
                 : NGHTTP2_ERR_CALLBACK_FAILURE;
    case NGHTTP2_DATA:
    case NGHTTP2_CONTINUATION:
      return 0;
    case NGHTTP2_PING:
      frame_class = FrameClass::kPing;
      break;
    case NGHTTP2_SETTINGS:
      frame_class = FrameClass::kSettings;
      break;
    case NGHTTP2_RST_STREAM:
      frame_class = FrameClass::kReset;
      break;
    case NGHTTP2_WINDOW_UPDATE:
      frame_class = FrameClass::kWindowUpdate;
      break;
    case NGHTTP2_PRIORITY:
      // nghttp2, told to take no priorities, does not look at them: RFC 9113, section 6.3.
      if (header->stream_id == 0) {
        self.Break(NGHTTP2_PROTOCOL_ERROR, "HTTP/2: PRIORITY on stream 0");
        return NGHTTP2_ERR_CALLBACK_FAILURE;
      }
      frame_class = FrameClass::kPriority;
      break;
    default:
      break;
  }
  return self.TakeBudget(frame_class) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
}

int Session::Callbacks::OnBeginHeaders(nghttp2_session* session, const nghttp2_frame* frame,
                                       void* user) {
  Session& self = Self(user);
  if (self.head_since_ == Instant::max()) self.head_since_ = self.now_;
  if (self.role_ == Role::kServer && frame->headers.cat == NGHTTP2_HCAT_REQUEST) {
    StreamCore* stream = self.NewIncoming();
    stream->id_ = frame->hd.stream_id;
    stream->submitted_ = true;
    nghttp2_session_set_stream_user_data(session, stream->id_, stream);
    self.heading_ = stream;
    return 0;
  }
  self.heading_ = self.Find(frame->hd.stream_id);
  return 0;
}

int Session::Callbacks::OnHeader(nghttp2_session*, const nghttp2_frame*, const uint8_t* name,
                                 size_t name_length, const uint8_t* value, size_t value_length,
                                 uint8_t, void* user) {
  Session& self = Self(user);
  StreamCore* stream = self.heading_;
  if (stream == nullptr) return 0;
  if (self.AddReceivedField(*stream, View(name, name_length), View(value, value_length))) {
    return 0;
  }
  self.head_since_ = Instant::max();
  stream->malformed_ = true;
  return self.TakeBudget(FrameClass::kOurReset) ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE
                                                : NGHTTP2_ERR_CALLBACK_FAILURE;
}

int Session::Callbacks::OnInvalidHeader(nghttp2_session*, const nghttp2_frame*, const uint8_t*,
                                        size_t, const uint8_t*, size_t, uint8_t, void* user) {
  if (Session& self = Self(user); self.heading_ != nullptr) self.heading_->malformed_ = true;
  return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
}

int Session::Callbacks::OnFrameReceived(nghttp2_session*, const nghttp2_frame* frame, void* user) {
  Session& self = Self(user);
  self.OnFrame(*frame);
  return self.over_budget_ ? NGHTTP2_ERR_CALLBACK_FAILURE : 0;
}

int Session::Callbacks::OnInvalidFrame(nghttp2_session*, const nghttp2_frame* frame, int code,
                                       void* user) {
  Session& self = Self(user);
  self.head_since_ = Instant::max();
  if (frame->hd.stream_id == 0 && self.error_.empty()) {
    self.error_ = absl::StrCat("HTTP/2: ", nghttp2_strerror(code));
  }
  return 0;
}

int Session::Callbacks::OnDataChunk(nghttp2_session*, uint8_t flags, int32_t id,
                                    const uint8_t* data, size_t length, void* user) {
  Session& self = Self(user);
  StreamCore* stream = self.Find(id);
  if (stream == nullptr || stream->stop_request_) {
    // Of no use to anybody any more.
    self.windows_.Take(self.session_, id, length);
    return 0;
  }
  if (stream->read_disabled_ > 0) {
    self.windows_.Hold(self.session_, length, stream->unconsumed_);
  } else {
    self.windows_.Take(self.session_, id, length);
  }
  stream->received_.AppendRef(self.in_->block, data, length);
  // Of the last frame nothing goes out before it is known to be right.
  self.arriving_ = (flags & NGHTTP2_FLAG_END_STREAM) == 0 ? stream : nullptr;
  return 0;
}

int Session::Callbacks::OnStreamClose(nghttp2_session*, int32_t id, uint32_t error_code,
                                      void* user) {
  Session& self = Self(user);
  if (StreamCore* stream = self.Find(id); stream != nullptr) self.OnClosed(*stream, error_code);
  return 0;
}

}  // namespace countersign::http::h2
