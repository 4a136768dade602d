#include "proxy/http/h2/stream_core.h"

#include <nghttp2/nghttp2.h>

#include "proxy/buffer/byte_stream.h"
#include "proxy/http/h2/session.h"

namespace countersign::http::h2 {

void StreamCore::Renew() {
  session_ = nullptr;
  handler_ = nullptr;
  next_ = previous_ = nullptr;
  id_ = 0;
  read_disabled_ = 0;
  informational_ = 0;
  live_ = submitted_ = head_received_ = head_sent_ = handed_out_ = too_large_ = malformed_ =
      head_left_ = false;
  send_ended_ = end_sent_ = read_ended_ = peer_reset_ = stop_request_ = deferred_ = false;
  above_high_ = has_trailers_ = failing_ = false;
  send_.Clear();
  received_.Clear();
  unconsumed_ = 0;
  head_bytes_ = 0;
  if (!trailers_received_.empty()) trailers_received_.Clear();
  if (!trailers_to_send_.empty()) trailers_to_send_.Clear();
}

void StreamCore::Send(buffer::Buffer& data, bool end) {
  if (!live_ || send_ended_) return data.Clear();
  send_.Move(data);
  if (end) send_ended_ = true;
  if (send_.size() >= buffer::kHighWatermark) above_high_ = true;
  if (deferred_) {
    deferred_ = false;
    nghttp2_session_resume_data(session_->session_, id_);
  }
  session_->NeedOutput();
}

void StreamCore::SendTrailers(const HeaderMap& trailers) {
  if (!live_ || send_ended_) return;
  trailers_to_send_.CopyFrom(trailers);
  has_trailers_ = !trailers_to_send_.empty();
  buffer::Buffer none;
  Send(none, true);
}

void StreamCore::DisableReading(bool disable) {
  if (disable) {
    ++read_disabled_;
    return;
  }
  if (--read_disabled_ == 0 && live_) session_->ReleaseWindow(*this);
}

}  // namespace countersign::http::h2
