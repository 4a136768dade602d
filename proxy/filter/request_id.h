// Names for requests, by which people find one request in the logs of many programs.
#ifndef COUNTERSIGN_PROXY_FILTER_REQUEST_ID_H_
#define COUNTERSIGN_PROXY_FILTER_REQUEST_ID_H_

#include <array>
#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace countersign::filter {

// One a worker. Random bytes come from OpenSSL's generator, many requests' worth at a time: nobody
// who sees one id can guess another's.
class RequestIdGenerator {
 public:
  static constexpr size_t kLength = 36;

  // A UUID of version 4 (RFC 9562, section 5.4) in text, valid until the next call.
  absl::string_view Next();

 private:
  std::array<uint8_t, 16 * 64> random_;
  size_t used_ = sizeof random_;
  char text_[kLength];
};

}  // namespace countersign::filter

#endif  // COUNTERSIGN_PROXY_FILTER_REQUEST_ID_H_
