#include "proxy/filter/local_reply.h"

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "proxy/http/grpc.h"

namespace countersign::filter {
namespace {

using http::HeaderId;

constexpr absl::string_view kGrpcType = "application/grpc";
constexpr absl::string_view kServerName = "countersign";

// RFC 9110, section 12.5.1, as far as it matters here: JSON is asked for by name, and before text.
bool PrefersJson(const http::HeaderMap& headers) {
  const http::Field* accept = headers.Find("accept");
  if (accept == nullptr) return false;
  const size_t json = accept->value.find("application/json");
  return json != absl::string_view::npos && json < accept->value.find("text/");
}

// RFC 8259, section 7.
void AppendJson(absl::string_view text, std::string* out) {
  out->push_back('"');
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out->push_back('\\');
      out->push_back(c);
    } else if (byte < 0x20 || byte >= 0x7f) {
      absl::StrAppendFormat(out, "\\u%04x", byte);
    } else {
      out->push_back(c);
    }
  }
  out->push_back('"');
}

std::string JsonBody(const router::LocalReply& reply, const http::RequestHead& request,
                     absl::string_view flags) {
  std::string body = absl::StrCat("{\"status\":", reply.status, ",\"reason\":");
  AppendJson(reply.reason, &body);
  body += ",\"flags\":";
  AppendJson(flags, &body);
  body += ",\"message\":";
  AppendJson(reply.sentence, &body);
  if (const absl::string_view id = request.headers.Get(HeaderId::kXRequestId); !id.empty()) {
    body += ",\"request_id\":";
    AppendJson(id, &body);
  }
  body += "}\n";
  return body;
}

}  // namespace

void WriteLocalReply(const router::LocalReply& reply, const http::RequestHead& request,
                     absl::string_view date, http::ResponseHead* head, buffer::Buffer* body) {
  const std::string flags = reply.flags.ToString();
  http::HeaderMap& headers = head->headers;
  if (http::IsGrpc(request.headers)) {
    head->status = 200;
    headers.AddBorrowed(HeaderId::kContentType, kGrpcType);
    headers.Add(HeaderId::kGrpcStatus,
                absl::StrCat(reply.grpc_status >= 0
                                 ? reply.grpc_status
                                 : static_cast<int>(http::GrpcStatusOfHttp(reply.status))));
    headers.Add(HeaderId::kGrpcMessage, http::EncodeGrpcMessage(reply.sentence));
  } else {
    head->status = reply.status;
    const bool json = PrefersJson(request.headers);
    const std::string text = json
                                 ? JsonBody(reply, request, flags)
                                 : absl::StrCat(reply.sentence, reply.sentence.empty() ? "" : "\n");
    headers.AddBorrowed(HeaderId::kContentType,
                        json ? "application/json" : "text/plain; charset=utf-8");
    headers.Add(HeaderId::kContentLength, absl::StrCat(text.size()));
    if (!request.is_head()) body->Append(text);
  }
  headers.Add(HeaderId::kCountersignReason, reply.reason);
  headers.Add(HeaderId::kCountersignFlags, flags);
  headers.Add(HeaderId::kDate, date);
  headers.AddBorrowed(HeaderId::kServer, kServerName);
}

absl::string_view HttpDate::Get(absl::Time now) {
  const int64_t second = absl::ToUnixSeconds(now);
  if (second != second_) {
    second_ = second;
    text_ = absl::FormatTime("%a, %d %b %Y %H:%M:%S GMT", now, absl::UTCTimeZone());
  }
  return text_;
}

}  // namespace countersign::filter
