#include "proxy/router/retry_state.h"

#include <algorithm>

#include "absl/strings/str_split.h"

namespace countersign::router {

using config::RetryPolicy;

bool NeverReachedApplication(absl::string_view flags) {
  if (flags.empty()) return false;
  bool unreached = false;
  for (const absl::string_view flag : absl::StrSplit(flags, ',')) {
    if (flag == "UF" || flag == "UH") {
      unreached = true;
    } else if (flag != "URX") {
      return false;
    }
  }
  return unreached;
}

bool RetryState::Wants(TryFailure failure) const {
  switch (failure) {
    case TryFailure::kLocal:
      return false;
    case TryFailure::kConnect:
      // Nothing was sent, so it is a reset before the request as well.
      return On(RetryPolicy::kConnectFailure | RetryPolicy::kResetBeforeRequest |
                RetryPolicy::kReset | RetryPolicy::k5xx | RetryPolicy::kGatewayError);
    case TryFailure::kRefused:
      return On(RetryPolicy::kRefusedStream | RetryPolicy::kReset | RetryPolicy::k5xx |
                RetryPolicy::kGatewayError);
    case TryFailure::kReset:
    case TryFailure::kTimeout:
      return On(RetryPolicy::kReset | RetryPolicy::k5xx | RetryPolicy::kGatewayError);
  }
  return false;
}

bool RetryState::Wants(uint16_t status, std::optional<http::GrpcStatus> grpc_status) const {
  if (On(RetryPolicy::k5xx) && status >= 500 && status < 600) return true;
  if (On(RetryPolicy::kGatewayError) && status >= 502 && status <= 504) return true;
  if (On(RetryPolicy::kRetriable4xx) && status == 409) return true;
  if (On(RetryPolicy::kRetriableStatusCodes) &&
      std::find(policy_->status_codes.begin(), policy_->status_codes.end(), status) !=
          policy_->status_codes.end()) {
    return true;
  }
  if (!grpc_status.has_value()) return false;
  switch (*grpc_status) {
    case http::GrpcStatus::kCancelled:
      return On(RetryPolicy::kGrpcCancelled);
    case http::GrpcStatus::kDeadlineExceeded:
      return On(RetryPolicy::kGrpcDeadlineExceeded);
    case http::GrpcStatus::kResourceExhausted:
      return On(RetryPolicy::kGrpcResourceExhausted);
    case http::GrpcStatus::kInternal:
      return On(RetryPolicy::kGrpcInternal);
    case http::GrpcStatus::kUnavailable:
      return On(RetryPolicy::kGrpcUnavailable);
    default:
      return false;
  }
}

std::chrono::milliseconds RetryState::Take(Dice& dice) {
  --left_;
  const int64_t base = std::max<int64_t>(1, policy_->backoff_base.count());
  const int64_t most = std::max(base, policy_->backoff_max.count());
  const int64_t ceiling = std::min<int64_t>(most, base << std::min<uint32_t>(done_, 20));
  ++done_;
  return std::chrono::milliseconds(dice.Below(static_cast<uint64_t>(ceiling)));
}

}  // namespace countersign::router
