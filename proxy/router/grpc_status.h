// gRPC's status codes where HTTP's are wanted.
#ifndef COUNTERSIGN_PROXY_ROUTER_GRPC_STATUS_H_
#define COUNTERSIGN_PROXY_ROUTER_GRPC_STATUS_H_

#include <cstdint>
#include <optional>

#include "proxy/http/message.h"

namespace countersign::router {

// The value of grpc-status; nothing when the field is absent. What is no number from 0 to 16 is 2
// (UNKNOWN), as gRPC's specification says.
std::optional<int> GrpcStatusOf(const http::HeaderMap& headers);

// Envoy's mapping (Grpc::Utility::grpcToHttpStatus), for outlier detection.
uint16_t GrpcToHttpStatus(int grpc_status);

}  // namespace countersign::router

#endif  // COUNTERSIGN_PROXY_ROUTER_GRPC_STATUS_H_
