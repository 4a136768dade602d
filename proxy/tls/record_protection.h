// TLS 1.3 record protection for application data: RFC 8446, sections 5.2 to 5.5 and 7.2 to 7.3.
//
// The handshake is OpenSSL's. From there on its record layer copies each byte twice in either
// direction and keeps 20 KiB for an idle connection, so the records of a connection that is open
// are sealed and opened here: sealed from the slices where the bytes lie, and
// opened in place, in the slices that are forwarded.
#ifndef COUNTERSIGN_PROXY_TLS_RECORD_PROTECTION_H_
#define COUNTERSIGN_PROXY_TLS_RECORD_PROTECTION_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "proxy/buffer/buffer.h"
#include "proxy/tls/aead.h"

namespace countersign::tls {

enum class ContentType : uint8_t { kAlert = 21, kHandshake = 22, kApplicationData = 23 };

inline constexpr size_t kRecordHeader = 5;
inline constexpr size_t kMaxPlaintext = 1 << 14;
// Of one record beyond its plaintext: header, content type, tag.
inline constexpr size_t kRecordOverhead = kRecordHeader + 1 + kTagBytes;
inline constexpr size_t kMaxCiphertext = kMaxPlaintext + 256;

// One direction of one connection. One thread.
class RecordProtection {
 public:
  RecordProtection() = default;
  RecordProtection(const RecordProtection&) = delete;
  RecordProtection& operator=(const RecordProtection&) = delete;
  ~RecordProtection();

  // `cipher_suite`: the IANA number (0x1301 to 0x1303); `secret`: the application traffic secret of
  // generation 0; `seal`: this is the sending direction. False when OpenSSL refuses.
  bool Init(uint16_t cipher_suite, absl::string_view secret, bool seal);

  // Takes `n` <= kMaxPlaintext bytes off `from` and appends the record to `out`.
  bool Seal(ContentType type, buffer::Buffer& from, size_t n, buffer::Buffer& out);
  // `record` holds the body of one record, without its header: opened in place and stripped of
  // padding, type and tag. `length`: the body's. False: forged or malformed; `record` is then
  // worthless.
  bool Open(buffer::Buffer& record, size_t length, ContentType* type);

  // KeyUpdate: the next generation of keys.
  bool Update();
  // Records under the present keys. RFC 8446, section 5.5, allows 2^24.5 full ones with AES-GCM.
  uint64_t records() const { return sequence_; }
  static constexpr uint64_t kUpdateAfter = uint64_t{1} << 23;

 private:
  bool DeriveKeys();
  bool BeginRecord(size_t body);

  Aead aead_;
  uint16_t suite_ = 0;
  bool seal_ = false;
  uint8_t secret_bytes_ = 0;
  std::array<uint8_t, 48> secret_;
  std::array<uint8_t, kNonceBytes> iv_;
  uint64_t sequence_ = 0;
};

}  // namespace countersign::tls

#endif  // COUNTERSIGN_PROXY_TLS_RECORD_PROTECTION_H_
