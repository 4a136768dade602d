#include "proxy/http/h2/tunnel_session.h"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proxy/http/h2/session_options.h"
#include "proxy/http/h2/unknown_frames.h"

namespace countersign::http::h2 {

using buffer::Buffer;
using buffer::CloseReason;
using buffer::Slice;

namespace {

constexpr absl::string_view kMethod = ":method";
constexpr absl::string_view kConnect = "CONNECT";
constexpr absl::string_view kAuthority = ":authority";
constexpr absl::string_view kStatus = ":status";
constexpr absl::string_view kOk = "200";
constexpr size_t kMaxReason = 512;
// Of one field, beyond its name and value: RFC 7541, section 4.1.
constexpr size_t kFieldOverhead = 32;

nghttp2_nv Field(absl::string_view name, absl::string_view value) {
  return {reinterpret_cast<uint8_t*>(const_cast<char*>(name.data())),
          reinterpret_cast<uint8_t*>(const_cast<char*>(value.data())), name.size(), value.size(),
          NGHTTP2_NV_FLAG_NO_COPY_NAME};
}

absl::string_view View(const uint8_t* bytes, size_t n) {
  return {reinterpret_cast<const char*>(bytes), n};
}

}  // namespace

struct TunnelSession::Callbacks {
  static TunnelSession& Self(void* user) { return *static_cast<TunnelSession*>(user); }

  static ssize_t Send(nghttp2_session*, const uint8_t* data, size_t length, int, void* user) {
    TunnelSession& self = Self(user);
    if (self.out_->size() >= self.out_limit_) return NGHTTP2_ERR_WOULDBLOCK;
    self.out_->Append(data, length);
    return static_cast<ssize_t>(length);
  }

  static ssize_t ReadLength(nghttp2_session*, uint8_t, int32_t, int32_t session_window,
                            int32_t stream_window, uint32_t max_frame, void* user) {
    return std::min<int64_t>({session_window, stream_window, max_frame,
                              static_cast<int64_t>(Self(user).limits_.max_frame)});
  }

  static ssize_t Read(nghttp2_session*, int32_t id, uint8_t*, size_t length, uint32_t* flags,
                      nghttp2_data_source*, void* user) {
    TunnelStream* stream = Self(user).Find(id);
    if (stream == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (stream->send_.empty() && !stream->end_pending_) {
      stream->deferred_ = true;
      return NGHTTP2_ERR_DEFERRED;
    }
    const size_t n = std::min(length, stream->send_.size());
    *flags |= NGHTTP2_DATA_FLAG_NO_COPY;
    if (stream->end_pending_ && n == stream->send_.size()) *flags |= NGHTTP2_DATA_FLAG_EOF;
    return static_cast<ssize_t>(n);
  }

  static int SendData(nghttp2_session*, nghttp2_frame* frame, const uint8_t* header, size_t length,
                      nghttp2_data_source*, void* user) {
    TunnelSession& self = Self(user);
    TunnelStream* stream = self.Find(frame->hd.stream_id);
    if (stream == nullptr) return NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE;
    if (self.out_->size() >= self.out_limit_) return NGHTTP2_ERR_WOULDBLOCK;
    self.out_->Append(header, 9);
    self.out_->Gather(stream->send_, length);
    if (stream->above_high_ && stream->send_.size() <= buffer::kLowWatermark) {
      stream->above_high_ = false;
      stream->handler_->OnWritable(*stream);
    }
    return 0;
  }

  static int OnFrameSend(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    TunnelSession& self = Self(user);
    if (frame->hd.type == NGHTTP2_RST_STREAM) {
      self.ended_by_peer_.Forgive(static_cast<uint32_t>(frame->hd.stream_id));
    } else if (frame->hd.type == NGHTTP2_HEADERS && self.role_ == Role::kServer &&
               (frame->hd.flags & NGHTTP2_FLAG_END_STREAM)) {
      // A refusal is out; nothing more is wanted of the caller: RFC 9113, section 8.1.
      nghttp2_submit_rst_stream(session, NGHTTP2_FLAG_NONE, frame->hd.stream_id, NGHTTP2_NO_ERROR);
    }
    return 0;
  }

  static int OnBeginHeaders(nghttp2_session* session, const nghttp2_frame* frame, void* user) {
    TunnelSession& self = Self(user);
    if (self.role_ != Role::kServer || frame->headers.cat != NGHTTP2_HCAT_REQUEST) return 0;
    auto* stream = new TunnelStream(self);
    stream->id_ = frame->hd.stream_id;
    nghttp2_session_set_stream_user_data(session, stream->id_, stream);
    return 0;
  }

  static int OnHeader(nghttp2_session*, const nghttp2_frame* frame, const uint8_t* name,
                      size_t name_length, const uint8_t* value, size_t value_length, uint8_t,
                      void* user) {
    TunnelSession& self = Self(user);
    TunnelStream* stream = self.Find(frame->hd.stream_id);
    if (stream == nullptr) return 0;
    const size_t size = stream->header_bytes_ + name_length + value_length + kFieldOverhead;
    if (size > self.limits_.max_header_bytes) {
      return self.TakeBudget(FrameClass::kOurReset) ? NGHTTP2_ERR_TEMPORAL_CALLBACK_FAILURE
                                                    : NGHTTP2_ERR_CALLBACK_FAILURE;
    }
    stream->header_bytes_ = static_cast<uint16_t>(size);
    const absl::string_view field = View(name, name_length);
    const absl::string_view text = View(value, value_length);
    if (self.role_ == Role::kServer) {
      if (field == kAuthority) stream->authority_ = std::string(text);
      if (field == kMethod) stream->status_ = text == kConnect ? 1 : 0;
    } else if (field == kStatus) {
      int status = 0;
      std::from_chars(text.data(), text.data() + text.size(), status);
      stream->status_ = static_cast<int16_t>(status);
    } else if (field == kReasonHeader) {
      stream->refusal_ = std::string(text.substr(0, kMaxReason));
    }
    return 0;
  }

  static int OnFrame(nghttp2_session*, const nghttp2_frame* frame, void* user) {
    TunnelSession& self = Self(user);
    bool ok = true;
    switch (frame->hd.type) {
      case NGHTTP2_DATA: {
        const bool end = (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0;
        if (frame->hd.length == 0 && !end) ok = self.TakeBudget(FrameClass::kEmptyData);
        if (TunnelStream* stream = self.Find(frame->hd.stream_id); end && stream != nullptr) {
          self.OnEnd(*stream);
        }
        break;
      }
      case NGHTTP2_HEADERS:
        if (TunnelStream* stream = self.Find(frame->hd.stream_id); stream != nullptr) {
          self.OnHeadersDone(*stream, (frame->hd.flags & NGHTTP2_FLAG_END_STREAM) != 0);
        }
        break;
      case NGHTTP2_PING:
        ok = self.TakeBudget(FrameClass::kPing);
        break;
      case NGHTTP2_SETTINGS:
        if (frame->hd.flags & NGHTTP2_FLAG_ACK) self.settings_acknowledged_ = true;
        ok = self.TakeBudget(FrameClass::kSettings);
        break;
      case NGHTTP2_RST_STREAM:
        ok = self.TakeBudget(FrameClass::kReset);
        break;
      case NGHTTP2_WINDOW_UPDATE:
        ok = self.TakeBudget(FrameClass::kWindowUpdate);
        break;
      case NGHTTP2_PRIORITY:
        ok = self.TakeBudget(FrameClass::kPriority);
        break;
      case NGHTTP2_GOAWAY:
        self.draining_ = true;
        self.owner_.OnSessionDraining();
        break;
      default:
        ok = self.TakeBudget(FrameClass::kUnknown);
        break;
    }
    return ok ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
  }

  static int OnInvalidFrame(nghttp2_session*, const nghttp2_frame*, int, void* user) {
    return Self(user).TakeBudget(FrameClass::kOurReset) ? 0 : NGHTTP2_ERR_CALLBACK_FAILURE;
  }

  static int OnData(nghttp2_session*, uint8_t, int32_t id, const uint8_t* data, size_t length,
                    void* user) {
    TunnelSession& self = Self(user);
    TunnelStream* stream = self.Find(id);
    if (stream == nullptr || stream->handler_ == nullptr) {
      // Reset by us, while the peer was still sending.
      self.windows_.Take(self.session_, id, length);
      return 0;
    }
    stream->bytes_read_ += length;
    if (stream->read_disabled_ > 0) {
      self.windows_.Hold(self.session_, length, stream->unconsumed_);
    } else {
      self.windows_.Take(self.session_, id, length);
    }
    Buffer bytes;
    bytes.AppendRef(self.in_->block, data, length);
    stream->handler_->OnData(*stream, bytes, false);
    return 0;
  }

  static int OnStreamClose(nghttp2_session*, int32_t id, uint32_t error_code, void* user) {
    TunnelSession& self = Self(user);
    TunnelStream* stream = self.Find(id);
    if (stream == nullptr) return 0;
    CloseReason reason = CloseReason::kPeerReset;
    if (error_code == NGHTTP2_NO_ERROR && stream->read_ended_ && stream->end_pending_ &&
        stream->send_.empty()) {
      reason = CloseReason::kFinished;
    } else if (error_code == NGHTTP2_REFUSED_STREAM) {
      reason = CloseReason::kTunnelRefused;
    } else if (!stream->owned_) {
      // Never handed out: a request that was broken.
      delete stream;
      return 0;
    }
    stream->Closed(reason);
    return 0;
  }
};

TunnelSession::TunnelSession(Role role, Owner& owner, const Limits& limits)
    : role_(role), owner_(owner), limits_(limits), ended_by_peer_(NGHTTP2_CLIENT_MAGIC_LEN) {
  // One table of callbacks serves all sessions.
  static nghttp2_session_callbacks* const callbacks = [] {
    nghttp2_session_callbacks* c;
    if (nghttp2_session_callbacks_new(&c) != 0) std::abort();
    nghttp2_session_callbacks_set_send_callback(c, &Callbacks::Send);
    nghttp2_session_callbacks_set_send_data_callback(c, &Callbacks::SendData);
    nghttp2_session_callbacks_set_data_source_read_length_callback(c, &Callbacks::ReadLength);
    nghttp2_session_callbacks_set_on_frame_send_callback(c, &Callbacks::OnFrameSend);
    nghttp2_session_callbacks_set_on_begin_headers_callback(c, &Callbacks::OnBeginHeaders);
    nghttp2_session_callbacks_set_on_header_callback(c, &Callbacks::OnHeader);
    nghttp2_session_callbacks_set_on_frame_recv_callback(c, &Callbacks::OnFrame);
    nghttp2_session_callbacks_set_on_invalid_frame_recv_callback(c, &Callbacks::OnInvalidFrame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(c, &Callbacks::OnData);
    nghttp2_session_callbacks_set_on_stream_close_callback(c, &Callbacks::OnStreamClose);
    ReportUnknownFrames(c);
    return c;
  }();
  const int result =
      role == Role::kClient
          ? nghttp2_session_client_new2(&session_, callbacks, this, SessionOptions())
          : nghttp2_session_server_new2(&session_, callbacks, this, SessionOptions());
  if (result != 0) std::abort();
  std::vector<nghttp2_settings_entry> settings = {
      {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, limits.stream_window},
      {NGHTTP2_SETTINGS_MAX_FRAME_SIZE, limits.max_frame},
      {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, limits.max_header_bytes},
      {NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS,
       role == Role::kServer ? limits.max_concurrent_streams : 0},
  };
  if (role == Role::kClient) settings.push_back({NGHTTP2_SETTINGS_ENABLE_PUSH, 0});
  nghttp2_submit_settings(session_, NGHTTP2_FLAG_NONE, settings.data(), settings.size());
  nghttp2_session_set_local_window_size(session_, NGHTTP2_FLAG_NONE, 0,
                                        static_cast<int32_t>(limits.connection_window));
}

TunnelSession::~TunnelSession() {
  CloseStreams(CloseReason::kTunnelLost);
  nghttp2_session_del(session_);
}

void TunnelSession::Link(TunnelStream* stream) {
  stream->next_ = streams_;
  if (streams_ != nullptr) streams_->previous_ = stream;
  streams_ = stream;
  ++active_;
}

void TunnelSession::Unlink(TunnelStream* stream) {
  if (stream->previous_ != nullptr) {
    stream->previous_->next_ = stream->next_;
  } else {
    streams_ = stream->next_;
  }
  if (stream->next_ != nullptr) stream->next_->previous_ = stream->previous_;
  stream->next_ = stream->previous_ = nullptr;
  --active_;
  owner_.OnStreamGone();
}

TunnelStream* TunnelSession::Find(int32_t id) const {
  return static_cast<TunnelStream*>(nghttp2_session_get_stream_user_data(session_, id));
}

bool TunnelSession::TakeBudget(FrameClass frame_class) {
  if (budget_.Take(frame_class, now_)) return true;
  over_budget_ = true;
  return false;
}

void TunnelSession::Release(TunnelStream& stream) {
  if (windows_.Release(session_, stream.id_, stream.unconsumed_)) NeedOutput();
}

std::unique_ptr<TunnelStream> TunnelSession::Open(absl::string_view authority) {
  if (draining_ || nghttp2_session_check_request_allowed(session_) == 0) return nullptr;
  std::unique_ptr<TunnelStream> stream(new TunnelStream(*this));
  const nghttp2_nv headers[] = {Field(kMethod, kConnect), Field(kAuthority, authority)};
  nghttp2_data_provider provider{};
  provider.read_callback = &Callbacks::Read;
  const int32_t id = nghttp2_submit_request(session_, nullptr, headers, 2, &provider, stream.get());
  if (id < 0) {
    // Out of stream numbers: RFC 9113, section 5.1.1.
    draining_ = true;
    stream->session_ = nullptr;
    Unlink(stream.get());
    return nullptr;
  }
  stream->id_ = id;
  stream->owned_ = true;
  NeedOutput();
  return stream;
}

void TunnelSession::Answer(TunnelStream& stream) {
  const nghttp2_nv headers[] = {Field(kStatus, kOk)};
  nghttp2_data_provider provider{};
  provider.read_callback = &Callbacks::Read;
  nghttp2_submit_response(session_, stream.id_, headers, 1, &provider);
  NeedOutput();
}

void TunnelSession::OnEnd(TunnelStream& stream) {
  if (stream.read_ended_ || stream.handler_ == nullptr) {
    stream.read_ended_ = true;
    return;
  }
  stream.read_ended_ = true;
  Buffer none;
  stream.handler_->OnData(stream, none, true);
}

void TunnelSession::OnHeadersDone(TunnelStream& stream, bool end) {
  if (role_ == Role::kClient) {
    if (!stream.answered_) {
      if (stream.status_ >= 100 && stream.status_ < 200) return;
      stream.answered_ = true;
      if (stream.status_ < 200 || stream.status_ >= 300) {
        nghttp2_submit_rst_stream(session_, NGHTTP2_FLAG_NONE, stream.id_, NGHTTP2_CANCEL);
        NeedOutput();
        return stream.Closed(CloseReason::kTunnelRefused);
      }
      const int32_t id = stream.id_;
      if (stream.handler_ != nullptr) stream.handler_->OnOpen(stream);
      if (Find(id) != &stream) return;
    }
    if (end) OnEnd(stream);
    return;
  }
  if (stream.owned_) {  // trailers
    if (end) OnEnd(stream);
    return;
  }
  stream.owned_ = true;
  std::unique_ptr<TunnelStream> owned(&stream);
  stream.header_bytes_ = 0;
  if (stream.status_ != 1) {
    return owned->Refuse(405, "this port is a mesh tunnel: only CONNECT is served");
  }
  stream.read_ended_ = end;
  const std::string authority = std::move(stream.authority_);
  stream.authority_ = {};
  owner_.OnTunnelRequest(std::move(owned), authority);
}

bool TunnelSession::Receive(Buffer& data, FrameBudget::Instant now) {
  now_ = now;
  while (!data.empty()) {
    in_ = data.front();
    const size_t n = in_->size();
    const size_t rightful = role_ == Role::kServer ? ended_by_peer_.Follow(in_->data(), n) : n;
    const ssize_t used = nghttp2_session_mem_recv(session_, in_->data(), rightful);
    in_ = nullptr;
    if (used < 0 || rightful < n) {
      if (over_budget_) {
        error_ = "the peer floods the tunnel with frames that carry nothing";
        nghttp2_session_terminate_session(session_, NGHTTP2_ENHANCE_YOUR_CALM);
      } else if (used < 0) {
        error_ = nghttp2_strerror(static_cast<int>(used));
      } else {
        error_ = "the peer goes on with a stream that it had ended";
        nghttp2_session_terminate_session(session_, NGHTTP2_STREAM_CLOSED);
      }
      data.Clear();
      NeedOutput();
      return false;
    }
    data.Drain(n);
  }
  if (nghttp2_session_want_write(session_)) NeedOutput();
  return true;
}

bool TunnelSession::wants_write() const { return nghttp2_session_want_write(session_) != 0; }

bool TunnelSession::Produce(Buffer& out, size_t limit) {
  out_ = &out;
  out_limit_ = limit;
  const int result = nghttp2_session_send(session_);
  out_ = nullptr;
  if (result != 0) {
    error_ = nghttp2_strerror(result);
    return false;
  }
  return nghttp2_session_want_read(session_) != 0 || nghttp2_session_want_write(session_) != 0;
}

void TunnelSession::CloseStreams(CloseReason reason) {
  draining_ = true;
  while (streams_ != nullptr) {
    TunnelStream* stream = streams_;
    if (!stream->owned_) {
      // Its headers never came to an end, so nobody owns it but the session.
      stream->Detach();
      delete stream;
      continue;
    }
    stream->Closed(reason);
  }
}

void TunnelSession::StartDrain() {
  if (role_ == Role::kServer && !draining_) {
    draining_ = true;
    nghttp2_submit_shutdown_notice(session_);
    NeedOutput();
  }
}

void TunnelSession::Terminate(uint32_t error_code) {
  nghttp2_session_terminate_session(session_, error_code);
  NeedOutput();
}

uint32_t TunnelSession::peer_max_streams() const {
  return nghttp2_session_get_remote_settings(session_, NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS);
}

}  // namespace countersign::http::h2
