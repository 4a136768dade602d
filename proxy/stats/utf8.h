#ifndef COUNTERSIGN_PROXY_STATS_UTF8_H_
#define COUNTERSIGN_PROXY_STATS_UTF8_H_

#include <cstddef>

#include "absl/strings/string_view.h"

namespace countersign::stats {

// The length of the well-formed UTF-8 sequence (RFC 3629, section 4) at the start of `text`, or 0.
// Whoever writes a peer's bytes into a page or a line replaces what is not well-formed: readers
// discard the whole page for one of them.
inline size_t Utf8Length(absl::string_view text) {
  auto at = [&](size_t i) -> unsigned char {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
  };
  auto tail = [&](size_t i) { return (at(i) & 0xC0) == 0x80; };
  const unsigned char first = at(0);
  if (first < 0x80) {
    return text.empty() ? 0 : 1;
  }
  if (first >= 0xC2 && first <= 0xDF) {
    return tail(1) ? 2 : 0;
  }
  if (first >= 0xE0 && first <= 0xEF) {
    if ((first == 0xE0 && at(1) < 0xA0) || (first == 0xED && at(1) > 0x9F)) {
      return 0;
    }
    return tail(1) && tail(2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    if ((first == 0xF0 && at(1) < 0x90) || (first == 0xF4 && at(1) > 0x8F)) {
      return 0;
    }
    return tail(1) && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
}

}  // namespace countersign::stats

#endif  // COUNTERSIGN_PROXY_STATS_UTF8_H_
