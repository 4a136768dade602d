#include "proxy/http/h1/head_encoder.h"

#include <algorithm>
#include <cstring>

#include "proxy/http/field_rules.h"

namespace countersign::http::h1 {

namespace {

constexpr absl::string_view kEndOfLine = "\r\n";
// Of what Announcement adds, the version, the status and its reason.
constexpr size_t kFixedBytes = 256;

}  // namespace

absl::string_view ReasonPhrase(uint16_t status) {
  switch (status) {
#define COUNTERSIGN_REASON(number, text) \
  case number:                           \
    return text
    COUNTERSIGN_REASON(100, "Continue");
    COUNTERSIGN_REASON(101, "Switching Protocols");
    COUNTERSIGN_REASON(102, "Processing");
    COUNTERSIGN_REASON(103, "Early Hints");
    COUNTERSIGN_REASON(200, "OK");
    COUNTERSIGN_REASON(201, "Created");
    COUNTERSIGN_REASON(202, "Accepted");
    COUNTERSIGN_REASON(203, "Non-Authoritative Information");
    COUNTERSIGN_REASON(204, "No Content");
    COUNTERSIGN_REASON(205, "Reset Content");
    COUNTERSIGN_REASON(206, "Partial Content");
    COUNTERSIGN_REASON(207, "Multi-Status");
    COUNTERSIGN_REASON(300, "Multiple Choices");
    COUNTERSIGN_REASON(301, "Moved Permanently");
    COUNTERSIGN_REASON(302, "Found");
    COUNTERSIGN_REASON(303, "See Other");
    COUNTERSIGN_REASON(304, "Not Modified");
    COUNTERSIGN_REASON(307, "Temporary Redirect");
    COUNTERSIGN_REASON(308, "Permanent Redirect");
    COUNTERSIGN_REASON(400, "Bad Request");
    COUNTERSIGN_REASON(401, "Unauthorized");
    COUNTERSIGN_REASON(402, "Payment Required");
    COUNTERSIGN_REASON(403, "Forbidden");
    COUNTERSIGN_REASON(404, "Not Found");
    COUNTERSIGN_REASON(405, "Method Not Allowed");
    COUNTERSIGN_REASON(406, "Not Acceptable");
    COUNTERSIGN_REASON(407, "Proxy Authentication Required");
    COUNTERSIGN_REASON(408, "Request Timeout");
    COUNTERSIGN_REASON(409, "Conflict");
    COUNTERSIGN_REASON(410, "Gone");
    COUNTERSIGN_REASON(411, "Length Required");
    COUNTERSIGN_REASON(412, "Precondition Failed");
    COUNTERSIGN_REASON(413, "Content Too Large");
    COUNTERSIGN_REASON(414, "URI Too Long");
    COUNTERSIGN_REASON(415, "Unsupported Media Type");
    COUNTERSIGN_REASON(416, "Range Not Satisfiable");
    COUNTERSIGN_REASON(417, "Expectation Failed");
    COUNTERSIGN_REASON(421, "Misdirected Request");
    COUNTERSIGN_REASON(422, "Unprocessable Content");
    COUNTERSIGN_REASON(425, "Too Early");
    COUNTERSIGN_REASON(426, "Upgrade Required");
    COUNTERSIGN_REASON(428, "Precondition Required");
    COUNTERSIGN_REASON(429, "Too Many Requests");
    COUNTERSIGN_REASON(431, "Request Header Fields Too Large");
    COUNTERSIGN_REASON(451, "Unavailable For Legal Reasons");
    COUNTERSIGN_REASON(500, "Internal Server Error");
    COUNTERSIGN_REASON(501, "Not Implemented");
    COUNTERSIGN_REASON(502, "Bad Gateway");
    COUNTERSIGN_REASON(503, "Service Unavailable");
    COUNTERSIGN_REASON(504, "Gateway Timeout");
    COUNTERSIGN_REASON(505, "HTTP Version Not Supported");
    COUNTERSIGN_REASON(507, "Insufficient Storage");
    COUNTERSIGN_REASON(511, "Network Authentication Required");
#undef COUNTERSIGN_REASON
    default:
      return "";
  }
}

void HeadEncoder::Reserve(size_t size) {
  size_ = 0;
  if (size <= capacity_ && (capacity_ <= kKeptBytes || size > kKeptBytes)) return;
  capacity_ = std::max<size_t>(size, 1024);
  text_.reset(new char[capacity_]);
}

inline void HeadEncoder::Put(absl::string_view text) {
  std::memcpy(text_.get() + size_, text.data(), text.size());
  size_ += text.size();
}

inline void HeadEncoder::PutField(absl::string_view name, absl::string_view value) {
  Put(name);
  Put(": ");
  // An empty view may point nowhere.
  if (!value.empty()) Put(value);
  Put(kEndOfLine);
}

void HeadEncoder::PutFields(const HeaderMap& headers, const Announcement& announcement) {
  bool te = false;
  for (const Field& field : headers.fields()) {
    switch (field.id) {
      case HeaderId::kOther:
        break;
      case HeaderId::kContentLength:
        if (announcement.length != Announcement::Length::kAsIs) continue;
        break;
      case HeaderId::kTe:
        te = true;
        break;
      default:
        if (IsConnectionSpecific(field.id)) continue;
        break;
    }
    PutField(field.name, field.value);
  }
  switch (announcement.length) {
    case Announcement::Length::kZero:
      Put("content-length: 0\r\n");
      break;
    case Announcement::Length::kChunked:
      Put("transfer-encoding: chunked\r\n");
      break;
    case Announcement::Length::kAsIs:
    case Announcement::Length::kNone:
      break;
  }
  PutConnection(announcement, te);
  Put(kEndOfLine);
}

void HeadEncoder::PutConnection(const Announcement& announcement, bool te) {
  if (!announcement.upgrade.empty()) {
    PutField("upgrade", announcement.upgrade);
    Put(te ? "connection: upgrade, te\r\n" : "connection: upgrade\r\n");
  } else if (announcement.close) {
    Put(te ? "connection: close, te\r\n" : "connection: close\r\n");
  } else if (announcement.keep_alive) {
    Put("connection: keep-alive\r\n");
  } else if (te) {
    Put("connection: te\r\n");
  }
}

void HeadEncoder::Finish(buffer::Buffer* out) { out->Append(text_.get(), size_); }

void HeadEncoder::Encode(const RequestHead& head, const Announcement& announcement,
                         buffer::Buffer* out) {
  Reserve(kFixedBytes + head.method.size() + head.path.size() + 2 * head.authority.size() +
          announcement.upgrade.size() + head.headers.byte_size());
  Put(head.method);
  Put(" ");
  Put(head.is_connect() ? head.authority : head.path);
  Put(" HTTP/1.1\r\n");
  PutField("host", head.authority);
  PutFields(head.headers, announcement);
  Finish(out);
}

void HeadEncoder::Encode(const ResponseHead& head, const Announcement& announcement,
                         buffer::Buffer* out) {
  const absl::string_view reason = ReasonPhrase(head.status);
  Reserve(kFixedBytes + reason.size() + announcement.upgrade.size() + head.headers.byte_size());
  Put("HTTP/1.1 ");
  const char status[] = {static_cast<char>('0' + head.status / 100 % 10),
                         static_cast<char>('0' + head.status / 10 % 10),
                         static_cast<char>('0' + head.status % 10), ' '};
  Put({status, sizeof status});
  Put(reason);
  Put(kEndOfLine);
  PutFields(head.headers, announcement);
  Finish(out);
}

void HeadEncoder::EncodeTrailers(const HeaderMap& trailers, buffer::Buffer* out) {
  Reserve(kFixedBytes + trailers.byte_size());
  Put("0\r\n");
  for (const Field& field : trailers.fields()) {
    if (!IsForbiddenInTrailers(field)) PutField(field.name, field.value);
  }
  Put(kEndOfLine);
  Finish(out);
}

}  // namespace countersign::http::h1
