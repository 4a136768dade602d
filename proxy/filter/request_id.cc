#include "proxy/filter/request_id.h"

#include <openssl/rand.h>

#include <cstdio>
#include <cstdlib>

namespace countersign::filter {

absl::string_view RequestIdGenerator::Next() {
  if (used_ + 16 > random_.size()) {
    if (RAND_bytes(random_.data(), static_cast<int>(random_.size())) != 1) {
      // The same generator makes keys: without it nothing here may go on.
      std::fprintf(stderr, "OpenSSL's random number generator failed\n");
      std::abort();
    }
    used_ = 0;
  }
  uint8_t* const bytes = random_.data() + used_;
  used_ += 16;
  bytes[6] = static_cast<uint8_t>((bytes[6] & 0x0f) | 0x40);
  bytes[8] = static_cast<uint8_t>((bytes[8] & 0x3f) | 0x80);
  constexpr char kHex[] = "0123456789abcdef";
  char* at = text_;
  for (int i = 0; i < 16; ++i) {
    if (i == 4 || i == 6 || i == 8 || i == 10) *at++ = '-';
    *at++ = kHex[bytes[i] >> 4];
    *at++ = kHex[bytes[i] & 15];
  }
  return {text_, kLength};
}

}  // namespace countersign::filter
