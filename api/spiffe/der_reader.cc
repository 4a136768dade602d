#include "api/spiffe/der_reader.h"

namespace countersign::spiffe {

bool DerReader::ReadAny(uint8_t* tag, absl::string_view* content, absl::string_view* whole) {
  if (rest_.size() < 2) return false;
  const auto byte = [this](size_t i) { return static_cast<uint8_t>(rest_[i]); };
  // Tags of more than one byte (X.690, 8.1.2.4) are used by none of our structures.
  if ((byte(0) & 0x1f) == 0x1f) return false;
  size_t header = 2;
  size_t length = byte(1);
  if (length >= 0x80) {
    const size_t octets = length & 0x7f;
    // 0x80 is the indefinite form, which DER does not have; four octets are more than we ever take.
    if (octets == 0 || octets > 4 || rest_.size() < 2 + octets) return false;
    if (byte(2) == 0) return false;  // not minimal
    length = 0;
    for (size_t i = 0; i < octets; ++i) length = length << 8 | byte(2 + i);
    if (length < 0x80) return false;  // the short form would have done
    header += octets;
  }
  if (rest_.size() - header < length) return false;
  *tag = byte(0);
  *content = rest_.substr(header, length);
  if (whole != nullptr) *whole = rest_.substr(0, header + length);
  rest_.remove_prefix(header + length);
  return true;
}

bool DerReader::Read(uint8_t tag, absl::string_view* content, absl::string_view* whole) {
  if (!PeekTag(tag)) return false;
  uint8_t found;
  return ReadAny(&found, content, whole);
}

}  // namespace countersign::spiffe
