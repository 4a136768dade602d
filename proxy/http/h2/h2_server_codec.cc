#include "proxy/http/h2/h2_server_codec.h"

#include <memory>

#include "proxy/http/field_rules.h"
#include "proxy/http/h2/stream_pool.h"

namespace countersign::http::h2 {

namespace {

constexpr absl::string_view kTooLarge =
    "The request's header fields are larger or more than this proxy takes.";

}  // namespace

H2ServerCodec& H2ServerStream::codec() const { return static_cast<H2ServerCodec&>(*session_); }

void H2ServerStream::SendInformational(const ResponseHead& head) {
  if (!live_ || head_sent_) return;
  codec().BeginFields();
  codec().AddStatus(head.status, false);
  codec().AddFields(head.headers);
  codec().SubmitInformational(*this);
}

void H2ServerStream::SendHeaders(const ResponseHead& head, bool end) {
  if (!live_ || head_sent_) return;
  const bool upgrade = !request_.upgrade.empty();
  codec().BeginFields();
  if (upgrade && head.status / 100 == 2) {
    if (!may_decline_) {
      codec().AddStatus(502, false);
      codec().AddField("x-countersign-reason", "upgrade_not_accepted");
      codec().AddField("x-countersign-flags", "UPE");
      return codec().SubmitResponse(*this, true);
    }
    codec().AddStatus(head.status, false);
    codec().AddField(Session::kUpgradeField, Session::kDeclined);
  } else {
    codec().AddStatus(head.status, upgrade);
  }
  codec().AddFields(head.headers);
  codec().SubmitResponse(*this, end);
}

void H2ServerStream::Reset() {
  if (!live_) return;
  H2ServerCodec& owner = codec();
  owner.SubmitReset(*this, head_sent_ ? NGHTTP2_CANCEL : NGHTTP2_INTERNAL_ERROR);
  owner.Release(*this);
  owner.owner_.OnStreamGone();
}

void H2ServerStream::StopRequest() {
  if (!live_ || read_ended_ || stop_request_) return;
  stop_request_ = true;
  received_.Clear();
  // Bytes that nobody will read any more.
  codec().ReleaseWindow(*this);
  if (end_sent_) codec().SubmitReset(*this, NGHTTP2_NO_ERROR);
}

H2ServerCodec::H2ServerCodec(ServerCodec::Owner& owner, const CodecLimits& limits)
    : Session(Role::kServer, owner, limits), requests_(owner) {}

StreamCore* H2ServerCodec::NewIncoming() {
  H2ServerStream* stream = StreamPool<H2ServerStream>::ForThisThread().Take().release();
  Link(*stream);
  return stream;
}

void H2ServerCodec::Recycle(StreamCore* core) {
  std::unique_ptr<H2ServerStream> stream(static_cast<H2ServerStream*>(core));
  stream->Renew();
  stream->request_.Clear();
  stream->may_decline_ = false;
  StreamPool<H2ServerStream>::ForThisThread().Give(std::move(stream));
}

HeaderMap& H2ServerCodec::ReceivedHeaders(StreamCore& core) {
  return static_cast<H2ServerStream&>(core).request_.headers;
}

bool H2ServerCodec::AddPseudo(StreamCore& core, absl::string_view name, absl::string_view value) {
  RequestHead& head = static_cast<H2ServerStream&>(core).request_;
  absl::string_view* field = nullptr;
  if (name == ":method") {
    field = &head.method;
  } else if (name == ":path") {
    field = &head.path;
  } else if (name == ":scheme") {
    field = &head.scheme;
  } else if (name == ":authority") {
    field = &head.authority;
  } else if (name == ":protocol") {
    field = &head.upgrade;
  }
  if (field == nullptr || !field->empty() || value.empty()) return false;
  *field = head.headers.Store(value);
  return true;
}

absl::string_view H2ServerCodec::CheckHead(RequestHead& head) const {
  if (const Field* host = head.headers.Find(HeaderId::kHost); host != nullptr) {
    // RFC 9113, section 8.3.1.
    if (head.authority.empty()) {
      head.authority = host->value;
    } else if (!IsSameAuthority(host->value, head.authority, head.scheme)) {
      return "host and :authority name different hosts";
    }
    if (head.headers.Remove(HeaderId::kHost) > 1) return "more than one host field";
  }
  if (!IsAuthority(head.authority)) return ":authority is not a host with a port";
  if (head.method == "CONNECT" && head.upgrade.empty()) {
    return head.authority.empty() ? "CONNECT without :authority" : absl::string_view();
  }
  if (!IsToken(head.method)) return ":method is not a token";
  if (!IsPath(head.path)) return ":path has bytes that no path has";
  if (head.path.empty() ||
      (head.path[0] != '/' && !(head.path == "*" && head.method == "OPTIONS"))) {
    return ":path does not begin with a slash";
  }
  if (!head.upgrade.empty() && (head.method != "CONNECT" || !IsToken(head.upgrade))) {
    return ":protocol without CONNECT";
  }
  return {};
}

void H2ServerCodec::OnHead(StreamCore& core, bool end) {
  auto& stream = static_cast<H2ServerStream&>(core);
  RequestHead& head = stream.request_;
  core.head_received_ = true;
  core.read_ended_ = end;
  if (core.too_large_) {
    TakeBudget(FrameClass::kOurReset);
    requests_.OnBadRequest(431, kTooLarge);
    AnswerAndRelease(core, "431", RefusalReason(431), kTooLarge);
    owner_.OnStreamGone();
    return;
  }
  head.protocol = Protocol::kHttp2;
  if (head.scheme.empty()) head.scheme = "http";
  if (const absl::string_view fault = CheckHead(head); !fault.empty()) {
    requests_.OnBadRequest(0, fault);
    SubmitReset(core, NGHTTP2_PROTOCOL_ERROR);
    Release(core);
    owner_.OnStreamGone();
    return;
  }
  const bool may_decline = head.headers.Remove(HeaderId::kCountersignUpgrade) > 0;
  if (!head.upgrade.empty()) {
    head.method = "GET";
    stream.may_decline_ = may_decline;
  }
  JoinCookies(head.headers);
  core.handed_out_ = true;
  requests_.OnRequest(stream);
}

void H2ServerCodec::OnNeverBegun(StreamCore& core) {
  if (core.malformed_ || core.submitted_) {
    requests_.OnBadRequest(0, "a request whose header fields break the rules of HTTP/2");
  }
}

void H2ServerCodec::AddStatus(uint16_t status, bool upgrade) {
  // RFC 8441, section 5: what HTTP/1 says with 101 is 200 here.
  if (upgrade && status == 101) status = 200;
  status_[0] = static_cast<char>('0' + status / 100 % 10);
  status_[1] = static_cast<char>('0' + status / 10 % 10);
  status_[2] = static_cast<char>('0' + status % 10);
  AddField(":status", {status_, 3});
}

}  // namespace countersign::http::h2
