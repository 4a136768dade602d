#include "proxy/http/message.h"

namespace countersign::http {

absl::string_view ProtocolName(Protocol protocol) {
  switch (protocol) {
    case Protocol::kHttp10:
      return "HTTP/1.0";
    case Protocol::kHttp11:
      return "HTTP/1.1";
    case Protocol::kHttp2:
      return "HTTP/2";
  }
  return "";
}

absl::string_view RefusalReason(uint16_t status) {
  switch (status) {
    case 0:
      return "http2_protocol";
    case 408:
      return "request_headers_timeout";
    case 414:
      return "request_line_too_long";
    case 431:
      return "headers_too_large";
    default:
      return "bad_request";
  }
}

void RequestHead::Clear() {
  protocol = Protocol::kHttp11;
  method = scheme = authority = path = upgrade = {};
  headers.Clear();
}

void RequestHead::CopyFrom(const RequestHead& other) {
  protocol = other.protocol;
  method = headers.Store(other.method);
  scheme = headers.Store(other.scheme);
  authority = headers.Store(other.authority);
  path = headers.Store(other.path);
  upgrade = headers.Store(other.upgrade);
  headers.CopyFrom(other.headers);
}

void ResponseHead::Clear() {
  protocol = Protocol::kHttp11;
  status = 0;
  headers.Clear();
}

void ResponseHead::CopyFrom(const ResponseHead& other) {
  protocol = other.protocol;
  status = other.status;
  headers.CopyFrom(other.headers);
}

}  // namespace countersign::http
