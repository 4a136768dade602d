#include "proxy/http/field_rules.h"

#include <array>
#include <cstring>

#include "absl/strings/match.h"
#include "absl/strings/strip.h"

namespace countersign::http {

namespace {

constexpr bool IsTchar(int c) {
  if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return true;
  for (const char t :
       {'!', '#', '$', '%', '&', '\'', '*', '+', '-', '.', '^', '_', '`', '|', '~'}) {
    if (c == t) return true;
  }
  return false;
}

// RFC 3986, section 3.2.2: reg-name, IP-literal and port, without userinfo's `@`.
constexpr bool IsAuthorityByte(int c) {
  if ((c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) return true;
  for (const char t : {'-', '.', '_', '~', '!', '$', '&', '\'', '(', ')', '*', '+', ',', ';', '=',
                       ':', '[', ']', '%'}) {
    if (c == t) return true;
  }
  return false;
}

struct Classes {
  bool authority[256];
};
constexpr Classes MakeClasses() {
  Classes classes{};
  for (int c = 0; c < 256; ++c) classes.authority[c] = IsAuthorityByte(c);
  return classes;
}
constexpr Classes kClasses = MakeClasses();

constexpr uint8_t LowerToken(int c) {
  if (!IsTchar(c)) return 0;
  return static_cast<uint8_t>(c >= 'A' && c <= 'Z' ? c + 32 : c);
}

constexpr absl::string_view kForbidden[] = {
    "authorization",
    "cache-control",
    "content-encoding",
    "content-range",
    "expires",
    "if-match",
    "if-modified-since",
    "if-none-match",
    "if-range",
    "if-unmodified-since",
    "max-forwards",
    "pragma",
    "proxy-authenticate",
    "proxy-authorization",
    "range",
    "www-authenticate",
    "age",
    "vary",
};

}  // namespace

#define COUNTERSIGN_4(n) LowerToken(n), LowerToken(n + 1), LowerToken(n + 2), LowerToken(n + 3)
#define COUNTERSIGN_16(n) \
  COUNTERSIGN_4(n), COUNTERSIGN_4(n + 4), COUNTERSIGN_4(n + 8), COUNTERSIGN_4(n + 12)
#define COUNTERSIGN_64(n) \
  COUNTERSIGN_16(n), COUNTERSIGN_16(n + 16), COUNTERSIGN_16(n + 32), COUNTERSIGN_16(n + 48)
const uint8_t kTokenLower[256] = {COUNTERSIGN_64(0), COUNTERSIGN_64(64), COUNTERSIGN_64(128),
                                  COUNTERSIGN_64(192)};
#undef COUNTERSIGN_64
#undef COUNTERSIGN_16
#undef COUNTERSIGN_4

bool IsToken(absl::string_view text) {
  if (text.empty()) return false;
  for (const char c : text) {
    if (kTokenLower[static_cast<uint8_t>(c)] == 0) return false;
  }
  return true;
}

bool IsFieldValue(absl::string_view text) {
  for (const char c : text) {
    const uint8_t byte = static_cast<uint8_t>(c);
    if ((byte < 0x20 && byte != '\t') || byte == 0x7f) return false;
  }
  return true;
}

bool IsAuthority(absl::string_view text) {
  for (const char c : text) {
    if (!kClasses.authority[static_cast<uint8_t>(c)]) return false;
  }
  return true;
}

bool IsSameAuthority(absl::string_view a, absl::string_view b, absl::string_view scheme) {
  const absl::string_view port = scheme == "https" ? ":443" : ":80";
  (void)absl::ConsumeSuffix(&a, port);
  (void)absl::ConsumeSuffix(&b, port);
  return absl::EqualsIgnoreCase(a, b);
}

bool IsPath(absl::string_view text) {
  for (const char c : text) {
    const uint8_t byte = static_cast<uint8_t>(c);
    if (byte <= 0x20 || byte == 0x7f || byte == '#') return false;
  }
  return true;
}

bool EqualsLower(absl::string_view text, absl::string_view lower) {
  if (text.size() != lower.size()) return false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if ((c >= 'A' && c <= 'Z' ? c + 32 : c) != lower[i]) return false;
  }
  return true;
}

bool NextInList(absl::string_view& list, absl::string_view& element) {
  while (!list.empty()) {
    const size_t comma = list.find(',');
    absl::string_view part = list.substr(0, comma);
    list = comma == absl::string_view::npos ? absl::string_view() : list.substr(comma + 1);
    while (!part.empty() && (part.front() == ' ' || part.front() == '\t')) part.remove_prefix(1);
    while (!part.empty() && (part.back() == ' ' || part.back() == '\t')) part.remove_suffix(1);
    if (part.empty()) continue;
    element = part;
    return true;
  }
  return false;
}

bool IsConnectionSpecific(HeaderId id) {
  switch (id) {
    case HeaderId::kConnection:
    case HeaderId::kHttp2Settings:
    case HeaderId::kKeepAlive:
    case HeaderId::kProxyConnection:
    case HeaderId::kTransferEncoding:
    case HeaderId::kUpgrade:
      return true;
    default:
      return false;
  }
}

bool IsForbiddenInTrailers(const Field& field) {
  switch (field.id) {
    case HeaderId::kClientCert:
    case HeaderId::kClientCertChain:
    case HeaderId::kContentLength:
    case HeaderId::kContentType:
    case HeaderId::kCookie:
    case HeaderId::kCountersignDownstream:
    case HeaderId::kCountersignFlags:
    case HeaderId::kCountersignReason:
    case HeaderId::kCountersignUpgrade:
    case HeaderId::kExpect:
    case HeaderId::kForwarded:
    case HeaderId::kGrpcTimeout:
    case HeaderId::kHost:
    case HeaderId::kLocation:
    case HeaderId::kRetryAfter:
    case HeaderId::kSetCookie:
    case HeaderId::kTe:
    case HeaderId::kTrailer:
    case HeaderId::kXForwardedClientCert:
    case HeaderId::kXForwardedFor:
    case HeaderId::kXForwardedHost:
    case HeaderId::kXForwardedProto:
    case HeaderId::kXRequestId:
      return true;
    case HeaderId::kOther:
      for (const absl::string_view name : kForbidden) {
        if (field.name == name) return true;
      }
      return false;
    default:
      return IsConnectionSpecific(field.id);
  }
}

void JoinCookies(HeaderMap& headers) {
  size_t size = 0;
  size_t count = 0;
  for (const Field& field : headers.fields()) {
    if (field.id != HeaderId::kCookie) continue;
    ++count;
    size += field.value.size() + 2;
  }
  if (count < 2) return;
  char* const joined = headers.Allocate(size);
  char* at = joined;
  for (const Field& field : headers.fields()) {
    if (field.id != HeaderId::kCookie) continue;
    if (!field.value.empty()) std::memcpy(at, field.value.data(), field.value.size());
    at += field.value.size();
    *at++ = ';';
    *at++ = ' ';
  }
  headers.Remove(HeaderId::kCookie);
  headers.AddBorrowed(HeaderId::kCookie, {joined, size - 2});
}

}  // namespace countersign::http
