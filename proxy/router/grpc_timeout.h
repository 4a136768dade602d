// The client's own deadline in gRPC (gRPC over HTTP/2, "Timeout").
#ifndef COUNTERSIGN_PROXY_ROUTER_GRPC_TIMEOUT_H_
#define COUNTERSIGN_PROXY_ROUTER_GRPC_TIMEOUT_H_

#include <chrono>
#include <cstddef>
#include <optional>

#include "absl/strings/string_view.h"

namespace countersign::router {

// 1 to 8 digits and a unit (H M S m u n); nothing else is one. Rounded up to milliseconds.
std::optional<std::chrono::milliseconds> ParseGrpcTimeout(absl::string_view text);

// In the finest unit whose digits suffice (at most 8), never longer than `timeout`; written into
// `out`, whose size is the least that is needed.
inline constexpr size_t kGrpcTimeoutBytes = 16;
absl::string_view FormatGrpcTimeout(std::chrono::milliseconds timeout,
                                    char (&out)[kGrpcTimeoutBytes]);

}  // namespace countersign::router

#endif  // COUNTERSIGN_PROXY_ROUTER_GRPC_TIMEOUT_H_
