#include "proxy/http/h2/tunnel_stream.h"

#include <nghttp2/nghttp2.h>

#include <utility>

#include "absl/strings/str_cat.h"
#include "proxy/http/h2/tunnel_session.h"

namespace countersign::http::h2 {

using buffer::CloseReason;

TunnelStream::TunnelStream(TunnelSession& session) : session_(&session) { session.Link(this); }

TunnelStream::~TunnelStream() { Reset(); }

void TunnelStream::Detach() {
  if (session_ == nullptr) return;
  TunnelSession* session = std::exchange(session_, nullptr);
  session->Release(*this);
  nghttp2_session_set_stream_user_data(session->session_, id_, nullptr);
  send_.Clear();
  session->Unlink(this);
}

void TunnelStream::Closed(CloseReason reason) {
  Detach();
  if (handler_ != nullptr) handler_->OnClosed(*this, reason);
}

void TunnelStream::Write(buffer::Buffer& data, bool end) {
  if (session_ == nullptr) return data.Clear();
  bytes_written_ += data.size();
  send_.Move(data);
  if (end) end_pending_ = true;
  if (send_.size() >= buffer::kHighWatermark) above_high_ = true;
  if (deferred_) {
    deferred_ = false;
    nghttp2_session_resume_data(session_->session_, id_);
  }
  session_->NeedOutput();
}

void TunnelStream::ReadDisable(bool disable) {
  if (disable) {
    ++read_disabled_;
    return;
  }
  if (--read_disabled_ == 0 && session_ != nullptr) session_->Release(*this);
}

void TunnelStream::Reset() {
  if (session_ == nullptr) return;
  TunnelSession* session = session_;
  // RFC 9113, section 8.5: what TCP says with RST is CONNECT_ERROR here.
  nghttp2_submit_rst_stream(session->session_, NGHTTP2_FLAG_NONE, id_, NGHTTP2_CONNECT_ERROR);
  Detach();
  session->NeedOutput();
}

void TunnelStream::Accept() {
  if (session_ == nullptr || answered_) return;
  answered_ = true;
  session_->Answer(*this);
}

void TunnelStream::Refuse(int status, absl::string_view reason) {
  if (session_ == nullptr || answered_) return;
  answered_ = true;
  const std::string status_text = absl::StrCat(status);
  uint8_t* const status_name = reinterpret_cast<uint8_t*>(const_cast<char*>(":status"));
  const nghttp2_nv headers[] = {
      {status_name, reinterpret_cast<uint8_t*>(const_cast<char*>(status_text.data())), 7,
       status_text.size(), NGHTTP2_NV_FLAG_NONE},
      {reinterpret_cast<uint8_t*>(const_cast<char*>(kReasonHeader.data())),
       reinterpret_cast<uint8_t*>(const_cast<char*>(reason.data())), kReasonHeader.size(),
       reason.size(), NGHTTP2_NV_FLAG_NONE},
  };
  nghttp2_submit_response(session_->session_, id_, headers, 2, nullptr);
  TunnelSession* session = session_;
  Detach();
  session->NeedOutput();
}

}  // namespace countersign::http::h2
