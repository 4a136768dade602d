// How many messages pass in a gRPC body.
#ifndef COUNTERSIGN_PROXY_FILTER_GRPC_MESSAGE_COUNTER_H_
#define COUNTERSIGN_PROXY_FILTER_GRPC_MESSAGE_COUNTER_H_

#include <cstdint>

#include "proxy/buffer/buffer.h"

namespace countersign::filter {

// Follows the length prefixes of one body (github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md,
// Length-Prefixed-Message: a flag byte, four bytes of length, the message) through whatever pieces
// it comes in. Looks at prefixes alone, and changes nothing. A value; one thread.
class GrpcMessageCounter {
 public:
  // How many messages end in `data`, the next piece of the body.
  uint64_t Count(const buffer::Buffer& data);

 private:
  static constexpr uint8_t kPrefixBytes = 5;

  uint8_t prefix_seen_ = 0;
  uint32_t left_ = 0;  // of the message; while its prefix comes, what is known of its length
};

}  // namespace countersign::filter

#endif  // COUNTERSIGN_PROXY_FILTER_GRPC_MESSAGE_COUNTER_H_
