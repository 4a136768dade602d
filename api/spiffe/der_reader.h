// A reader of DER (X.690, section 10) over borrowed bytes, for the few structures that arrive from
// peers before they are trusted: it never allocates and never reads past the view.
#ifndef COUNTERSIGN_API_SPIFFE_DER_READER_H_
#define COUNTERSIGN_API_SPIFFE_DER_READER_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace countersign::spiffe {

inline constexpr uint8_t kDerBoolean = 0x01;
inline constexpr uint8_t kDerInteger = 0x02;
inline constexpr uint8_t kDerBitString = 0x03;
inline constexpr uint8_t kDerOctetString = 0x04;
inline constexpr uint8_t kDerOid = 0x06;
inline constexpr uint8_t kDerSequence = 0x30;
inline constexpr uint8_t kDerSet = 0x31;
inline constexpr uint8_t kDerUri = 0x86;       // GeneralName, [6] IMPLICIT IA5String
inline constexpr uint8_t kDerContext0 = 0xa0;  // [0], constructed

class DerReader {
 public:
  explicit DerReader(absl::string_view bytes) : rest_(bytes) {}

  bool AtEnd() const { return rest_.empty(); }
  // What has not been read yet.
  absl::string_view rest() const { return rest_; }

  // Reads one element of any tag; false when it is truncated or not minimal DER. `whole` (may be
  // null) gets the element with its header, `content` what is in it.
  bool ReadAny(uint8_t* tag, absl::string_view* content, absl::string_view* whole = nullptr);
  // Reads one element of this tag.
  bool Read(uint8_t tag, absl::string_view* content, absl::string_view* whole = nullptr);
  bool PeekTag(uint8_t tag) const {
    return !rest_.empty() && static_cast<uint8_t>(rest_[0]) == tag;
  }

 private:
  absl::string_view rest_;
};

}  // namespace countersign::spiffe

#endif  // COUNTERSIGN_API_SPIFFE_DER_READER_H_
