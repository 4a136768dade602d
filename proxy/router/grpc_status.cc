#include "proxy/router/grpc_status.h"

namespace countersign::router {

std::optional<int> GrpcStatusOf(const http::HeaderMap& headers) {
  constexpr int kUnknown = 2;
  const http::Field* field = headers.Find(http::HeaderId::kGrpcStatus);
  if (field == nullptr) return std::nullopt;
  if (field->value.empty() || field->value.size() > 2) return kUnknown;
  int status = 0;
  for (const char c : field->value) {
    if (c < '0' || c > '9') return kUnknown;
    status = status * 10 + (c - '0');
  }
  return status > 16 ? kUnknown : status;
}

uint16_t GrpcToHttpStatus(int grpc_status) {
  switch (grpc_status) {
    case 0:  // OK
      return 200;
    case 1:  // CANCELLED
      return 499;
    case 3:   // INVALID_ARGUMENT
    case 9:   // FAILED_PRECONDITION
    case 11:  // OUT_OF_RANGE
      return 400;
    case 4:  // DEADLINE_EXCEEDED
      return 504;
    case 5:  // NOT_FOUND
      return 404;
    case 6:   // ALREADY_EXISTS
    case 10:  // ABORTED
      return 409;
    case 7:  // PERMISSION_DENIED
      return 403;
    case 8:  // RESOURCE_EXHAUSTED
      return 429;
    case 12:  // UNIMPLEMENTED
      return 501;
    case 14:  // UNAVAILABLE
      return 503;
    case 16:  // UNAUTHENTICATED
      return 401;
    default:  // UNKNOWN, INTERNAL, DATA_LOSS
      return 500;
  }
}

}  // namespace countersign::router
