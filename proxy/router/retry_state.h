// Whether and when a request is tried again.
#ifndef COUNTERSIGN_PROXY_ROUTER_RETRY_STATE_H_
#define COUNTERSIGN_PROXY_ROUTER_RETRY_STATE_H_

#include <chrono>
#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "proxy/config/route.h"
#include "proxy/http/grpc.h"
#include "proxy/router/dice.h"

namespace countersign::router {

// How a try ended without a response.
enum class TryFailure : uint8_t {
  kLocal,    // a circuit breaker, or no certificate: the next try would fare no better
  kConnect,  // nothing was sent
  kRefused,  // the endpoint says that it has not begun
  kReset,    // after the request was sent, in part at least
  kTimeout,  // per-try time-out
};

// Whether the flags of a far sidecar's own answer (`x-countersign-flags`) say that the request
// never reached its application: for us the same as a connection that failed. `UF,URX`, `UH`; with
// any other flag something may have been sent.
bool NeverReachedApplication(absl::string_view flags);

// One request's. What Envoy's retry_on means, condition by condition (router filter,
// x-envoy-retry-on and x-envoy-retry-grpc-on); but a policy that names nothing gets nothing.
class RetryState {
 public:
  void Begin(const config::RetryPolicy& policy) {
    policy_ = &policy;
    left_ = policy.on == 0 ? 0 : policy.num_retries;
    done_ = 0;
  }

  // Whether there is a policy and it has retries left.
  bool possible() const { return left_ > 0; }
  // Whether the policy's limit, and nothing else, is in the way.
  bool exhausted() const { return left_ == 0 && done_ > 0; }
  uint32_t done() const { return done_; }

  bool Wants(TryFailure failure) const;
  // `grpc_status`: of a response that has it in its head (trailers-only), otherwise nothing.
  bool Wants(uint16_t status, std::optional<http::GrpcStatus> grpc_status) const;

  // Uses one up, and says how long to wait before: exponential, with full jitter
  // (https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/), so that a crowd of
  // clients does not come back at once.
  std::chrono::milliseconds Take(Dice& dice);

 private:
  bool On(uint32_t conditions) const { return (policy_->on & conditions) != 0; }

  const config::RetryPolicy* policy_ = nullptr;
  uint32_t left_ = 0;
  uint32_t done_ = 0;
};

}  // namespace countersign::router

#endif  // COUNTERSIGN_PROXY_ROUTER_RETRY_STATE_H_
