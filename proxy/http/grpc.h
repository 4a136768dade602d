// What gRPC makes of HTTP: github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md and
// doc/http-grpc-status-mapping.md.
#ifndef COUNTERSIGN_PROXY_HTTP_GRPC_H_
#define COUNTERSIGN_PROXY_HTTP_GRPC_H_

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "proxy/http/header_map.h"

namespace countersign::http {

enum class GrpcStatus : uint8_t {
  kOk,
  kCancelled,
  kUnknown,
  kInvalidArgument,
  kDeadlineExceeded,
  kNotFound,
  kAlreadyExists,
  kPermissionDenied,
  kResourceExhausted,
  kFailedPrecondition,
  kAborted,
  kOutOfRange,
  kUnimplemented,
  kInternal,
  kUnavailable,
  kDataLoss,
  kUnauthenticated,
};

// By its content type, `application/grpc` with or without `+proto` and the like (not `-web`).
bool IsGrpc(const HeaderMap& headers);

// `grpc-timeout`: one to eight digits and a unit of H M S m u n. Nothing for anything else. Values
// beyond a hundred years are cut to that.
std::optional<std::chrono::nanoseconds> ParseGrpcTimeout(absl::string_view text);
// The shortest that says it, rounded up to what eight digits can say; at least 1n.
std::string FormatGrpcTimeout(std::chrono::nanoseconds timeout);

// `grpc-status`: a number that stands in GrpcStatus, or nothing.
std::optional<GrpcStatus> ParseGrpcStatus(absl::string_view text);
// `14`. Lives for ever.
absl::string_view GrpcStatusNumber(GrpcStatus status);

// For an answer in HTTP to a call in gRPC, and for a gRPC status where a status of HTTP is wanted.
GrpcStatus GrpcStatusOfHttp(uint16_t status);
uint16_t HttpStatusOfGrpc(GrpcStatus status);

// `grpc-message`: everything but printable ASCII, and `%`, is escaped.
std::string EncodeGrpcMessage(absl::string_view message);
// What is no escape stays as it is.
std::string DecodeGrpcMessage(absl::string_view text);

}  // namespace countersign::http

#endif  // COUNTERSIGN_PROXY_HTTP_GRPC_H_
