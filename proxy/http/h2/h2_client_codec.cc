#include "proxy/http/h2/h2_client_codec.h"

#include <algorithm>
#include <utility>

#include "proxy/http/h2/stream_pool.h"

namespace countersign::http::h2 {

namespace {

// More 1xx than any server has reason to send before its answer.
constexpr uint8_t kMaxInformational = 32;

}  // namespace

H2ClientCodec& H2ClientStream::codec() const { return static_cast<H2ClientCodec&>(*session_); }

void H2ClientStream::SendHeaders(const RequestHead& head, bool end) {
  if (!live_ || head_sent_) return;
  H2ClientCodec& owner = codec();
  upgrade_ = !head.upgrade.empty();
  head_sent_ = true;
  if (upgrade_ && !owner.settings_received()) {
    waiting_ = std::make_unique<RequestHead>();
    waiting_->CopyFrom(head);
    send_ended_ = end;
    ++owner.waiting_;
    return;
  }
  owner.Submit(*this, head, end);
}

void H2ClientStream::Reset() {
  if (!live_) return;
  H2ClientCodec& owner = codec();
  if (submitted_) owner.SubmitReset(*this, NGHTTP2_CANCEL);
  owner.Release(*this);
  owner.owner_.OnStreamGone();
}

H2ClientCodec::H2ClientCodec(ClientCodec::Owner& owner, const CodecLimits& limits)
    : Session(Role::kClient, owner, limits), requests_(owner) {}

uint32_t H2ClientCodec::max_streams() const {
  return std::min(RemoteSetting(NGHTTP2_SETTINGS_MAX_CONCURRENT_STREAMS),
                  limits_.max_concurrent_streams);
}

ClientStream* H2ClientCodec::NewStream(ClientStream::Handler& handler) {
  if (draining() || active_streams() >= max_streams() ||
      nghttp2_session_check_request_allowed(session_) == 0) {
    return nullptr;
  }
  H2ClientStream* stream = StreamPool<H2ClientStream>::ForThisThread().Take().release();
  Link(*stream);
  stream->handler_ = &handler;
  stream->handed_out_ = true;
  return stream;
}

void H2ClientCodec::Recycle(StreamCore* core) {
  std::unique_ptr<H2ClientStream> stream(static_cast<H2ClientStream*>(core));
  if (stream->waiting_ != nullptr) {
    stream->waiting_.reset();
    --waiting_;
  }
  stream->Renew();
  stream->response_.Clear();
  stream->upgrade_ = false;
  StreamPool<H2ClientStream>::ForThisThread().Give(std::move(stream));
}

void H2ClientCodec::Submit(H2ClientStream& stream, const RequestHead& head, bool end) {
  if (stream.upgrade_ && RemoteSetting(NGHTTP2_SETTINGS_ENABLE_CONNECT_PROTOCOL) == 0) {
    return Fail(stream, StreamEnd::kProtocolError);
  }
  BeginFields();
  AddField(":method", stream.upgrade_ ? absl::string_view("CONNECT") : head.method);
  if (!head.is_connect()) {
    AddField(":scheme", head.scheme.empty() ? absl::string_view("http") : head.scheme);
    AddField(":path", head.path);
  }
  AddField(":authority", head.authority);
  if (stream.upgrade_) {
    AddField(":protocol", head.upgrade);
    AddField(kUpgradeField, kDeclined);
  }
  AddFields(head.headers);
  SubmitRequest(stream, end);
}

void H2ClientCodec::OnSettings() {
  if (waiting_ == 0) return;
  for (StreamCore* core = streams(); core != nullptr; core = core->next_) {
    auto& stream = static_cast<H2ClientStream&>(*core);
    if (stream.waiting_ == nullptr) continue;
    const std::unique_ptr<RequestHead> head = std::move(stream.waiting_);
    --waiting_;
    const bool ended = stream.send_ended_;
    Submit(stream, *head, false);
    // What was written meanwhile follows.
    stream.send_ended_ = ended;
  }
}

void H2ClientCodec::OnGoaway() {
  if (draining_) return;
  draining_ = true;
  requests_.OnPeerDraining();
}

void H2ClientCodec::StartDrain() {
  if (draining_) return;
  draining_ = true;
  nghttp2_submit_goaway(session_, NGHTTP2_FLAG_NONE, 0, NGHTTP2_NO_ERROR, nullptr, 0);
  NeedOutput();
}

HeaderMap& H2ClientCodec::ReceivedHeaders(StreamCore& core) {
  return static_cast<H2ClientStream&>(core).response_.headers;
}

bool H2ClientCodec::AddPseudo(StreamCore& core, absl::string_view name, absl::string_view value) {
  // nghttp2 has seen that it is `:status`, once, with three digits.
  if (name != ":status" || value.size() != 3) return false;
  static_cast<H2ClientStream&>(core).response_.status =
      static_cast<uint16_t>((value[0] - '0') * 100 + (value[1] - '0') * 10 + (value[2] - '0'));
  return true;
}

void H2ClientCodec::OnHead(StreamCore& core, bool end) {
  auto& stream = static_cast<H2ClientStream&>(core);
  ResponseHead& head = stream.response_;
  if (core.too_large_ || head.status == 101 || head.status < 100) {
    // RFC 9113, section 8.6: 101 has no meaning here.
    SubmitReset(core, NGHTTP2_PROTOCOL_ERROR);
    return;
  }
  head.protocol = Protocol::kHttp2;
  if (head.status < 200) {
    if (++core.informational_ > kMaxInformational) {
      core.too_large_ = true;
      return SubmitReset(core, NGHTTP2_ENHANCE_YOUR_CALM);
    }
    stream.handler().OnInformational(head);
    if (!core.live_) return;
    head.Clear();
    core.head_bytes_ = 0;
    return;
  }
  core.head_received_ = true;
  core.read_ended_ = end;
  const bool declined = head.headers.Remove(HeaderId::kCountersignUpgrade) > 0;
  if (stream.upgrade_ && head.status < 300 && !declined) head.status = 101;
  stream.handler().OnHeaders(head, end);
}

}  // namespace countersign::http::h2
