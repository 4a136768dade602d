#include "proxy/filter/grpc_message_counter.h"

#include <algorithm>

namespace countersign::filter {

uint64_t GrpcMessageCounter::Count(const buffer::Buffer& data) {
  uint64_t messages = 0;
  for (buffer::Slice* slice = data.front(); slice != nullptr; slice = slice->next) {
    const uint8_t* bytes = slice->data();
    uint32_t size = slice->size();
    while (size > 0) {
      uint32_t taken = 1;
      if (prefix_seen_ < kPrefixBytes) {
        // Big-endian; by the fifth byte the first, the flag, has been pushed out at the top.
        left_ = left_ << 8 | *bytes;
        ++prefix_seen_;
      } else {
        taken = std::min(size, left_);
        left_ -= taken;
      }
      bytes += taken;
      size -= taken;
      if (prefix_seen_ == kPrefixBytes && left_ == 0) {
        ++messages;
        prefix_seen_ = 0;
      }
    }
  }
  return messages;
}

}  // namespace countersign::filter
