#include "proxy/listener/http_detector.h"

#include <algorithm>

namespace countersign::listener {
namespace {

constexpr absl::string_view kPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
constexpr absl::string_view kVersion = "HTTP/1.";
// Longer than any registered method (`UPDATEREDIRECTREF`).
constexpr size_t kMaxMethod = 24;

// Of those that are used.
bool IsMethodByte(char c) { return (c >= 'A' && c <= 'Z') || c == '-' || c == '_'; }

// Of a token (RFC 9110, section 5.6.2), generously.
bool IsWordByte(char c) { return c > ' ' && c != '\x7f'; }

// What may stand between the parts of a request line (RFC 9112, section 3).
bool IsBlank(char c) { return c == ' ' || c == '\t' || c == '\v' || c == '\f'; }

// `text` and `whole` agree as far as `text` goes.
bool MayBecome(absl::string_view text, absl::string_view whole) {
  const size_t n = std::min(text.size(), whole.size());
  return text.substr(0, n) == whole.substr(0, n);
}

}  // namespace

Detected DetectHttp(absl::string_view bytes) {
  if (MayBecome(bytes, kPreface)) {
    return bytes.size() >= kPreface.size() ? Detected::kHttp2 : Detected::kNeedMore;
  }
  // RFC 9112, section 2.2: empty lines before the request line are to be ignored.
  const size_t lines = std::min(bytes.find_first_not_of("\r\n"), bytes.size());
  if (lines > kMaxDetectedLine) return Detected::kHttp1;
  bytes.remove_prefix(lines);
  if (bytes.empty()) return Detected::kNeedMore;
  size_t at = 0;
  while (at < bytes.size() && IsMethodByte(bytes[at])) ++at;
  const bool usual = at <= kMaxMethod && (at == bytes.size() || IsBlank(bytes[at]));
  const Detected incomplete = usual ? Detected::kNeedMore : Detected::kOther;
  while (at < bytes.size() && IsWordByte(bytes[at])) ++at;
  if (at == bytes.size()) return incomplete;
  if (at == 0 || !IsBlank(bytes[at])) return Detected::kOther;
  while (at < bytes.size() && IsBlank(bytes[at])) ++at;
  const size_t target = at;
  while (at < bytes.size() && static_cast<unsigned char>(bytes[at]) > ' ' && bytes[at] != '\x7f') {
    ++at;
  }
  if (at == bytes.size()) {
    return bytes.size() > kMaxDetectedLine ? Detected::kHttp1 : incomplete;
  }
  if (at == target || !IsBlank(bytes[at])) return Detected::kOther;
  while (at < bytes.size() && IsBlank(bytes[at])) ++at;
  const absl::string_view version = bytes.substr(at);
  if (!MayBecome(version, kVersion)) return Detected::kOther;
  return version.size() >= kVersion.size() ? Detected::kHttp1 : incomplete;
}

Detected DetectPreface(absl::string_view bytes) {
  if (!MayBecome(bytes, kPreface)) return Detected::kHttp1;
  return bytes.size() >= kPreface.size() ? Detected::kHttp2 : Detected::kNeedMore;
}

Detected Detect(absl::string_view bytes, bool declared, bool end) {
  const Detected detected = declared ? DetectPreface(bytes) : DetectHttp(bytes);
  if (detected != Detected::kNeedMore || !end) return detected;
  return declared ? Detected::kHttp1 : Detected::kOther;
}

}  // namespace countersign::listener
