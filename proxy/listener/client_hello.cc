#include "proxy/listener/client_hello.h"

#include <algorithm>
#include <string>

namespace countersign::listener {
namespace {

constexpr uint8_t kHandshakeRecord = 22;
constexpr uint8_t kClientHello = 1;
constexpr uint16_t kAlpnExtension = 16;
constexpr size_t kRecordHeader = 5;
constexpr size_t kMaxRecord = 16 * 1024 + 256;

// Reads big-endian numbers and length-prefixed runs; once it has run out, it yields nothing more.
class Reader {
 public:
  explicit Reader(absl::string_view bytes) : bytes_(bytes) {}
  bool ok() const { return ok_; }
  bool done() const { return bytes_.empty(); }
  size_t Number(size_t width) {
    size_t value = 0;
    for (const char c : Take(width)) value = value << 8 | static_cast<uint8_t>(c);
    return value;
  }
  absl::string_view Take(size_t n) {
    if (!ok_ || bytes_.size() < n) {
      ok_ = false;
      bytes_ = {};
      return {};
    }
    const absl::string_view taken = bytes_.substr(0, n);
    bytes_.remove_prefix(n);
    return taken;
  }
  absl::string_view Prefixed(size_t width) { return Take(Number(width)); }

 private:
  absl::string_view bytes_;
  bool ok_ = true;
};

// `body`: the ClientHello after its 4 bytes of header.
bool OffersAlpn(absl::string_view body, absl::Span<const absl::string_view> wanted) {
  Reader hello(body);
  hello.Take(2 + 32);  // version, random
  hello.Prefixed(1);   // session id
  hello.Prefixed(2);   // cipher suites
  hello.Prefixed(1);   // compression methods
  Reader extensions(hello.Prefixed(2));
  if (!hello.ok()) return false;
  while (extensions.ok() && !extensions.done()) {
    const size_t type = extensions.Number(2);
    const absl::string_view data = extensions.Prefixed(2);
    if (!extensions.ok() || type != kAlpnExtension) continue;
    Reader outer(data);
    Reader names(outer.Prefixed(2));
    while (names.ok() && !names.done()) {
      const absl::string_view name = names.Prefixed(1);
      if (names.ok() && std::find(wanted.begin(), wanted.end(), name) != wanted.end()) return true;
    }
    return false;
  }
  return false;
}

}  // namespace

Sniffed SniffClientHello(absl::string_view bytes, absl::Span<const absl::string_view> mesh_alpns) {
  // The handshake message, gathered from its records.
  std::string joined;
  absl::string_view message;
  for (size_t at = 0;;) {
    const absl::string_view rest = bytes.substr(at);
    const auto byte = [&rest](size_t i) { return static_cast<uint8_t>(rest[i]); };
    // Each byte is judged as it comes: a plaintext protocol is known by its first.
    if (!rest.empty() && byte(0) != kHandshakeRecord) {
      return at == 0 ? Sniffed::kPlaintext : Sniffed::kOtherTls;
    }
    if (rest.size() > 1 && byte(1) != 3) return at == 0 ? Sniffed::kPlaintext : Sniffed::kOtherTls;
    if (rest.size() > 2 && byte(2) > 4) return at == 0 ? Sniffed::kPlaintext : Sniffed::kOtherTls;
    if (rest.size() < kRecordHeader) break;
    const size_t length = static_cast<size_t>(byte(3)) << 8 | byte(4);
    if (length == 0 || length > kMaxRecord) {
      return at == 0 ? Sniffed::kPlaintext : Sniffed::kOtherTls;
    }
    const absl::string_view part =
        rest.substr(kRecordHeader, std::min(length, rest.size() - kRecordHeader));
    if (at == 0) {
      message = part;
      if (!part.empty() && static_cast<uint8_t>(part[0]) != kClientHello) {
        return Sniffed::kPlaintext;
      }
    } else {
      if (joined.empty()) joined.assign(message.data(), message.size());
      joined.append(part.data(), part.size());
      message = joined;
    }
    if (message.size() >= 4) {
      Reader header(message.substr(1, 3));
      const size_t body = header.Number(3);
      if (body > kMaxClientHello) return Sniffed::kOtherTls;
      if (message.size() >= 4 + body) {
        return OffersAlpn(message.substr(4, body), mesh_alpns) ? Sniffed::kMeshTls
                                                               : Sniffed::kOtherTls;
      }
    }
    if (part.size() < length) break;
    at += kRecordHeader + length;
  }
  return bytes.size() >= kMaxClientHello + 1024 ? Sniffed::kOtherTls : Sniffed::kNeedMore;
}

}  // namespace countersign::listener
