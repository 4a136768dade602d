// How a request at a host went.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_OUTCOME_H_
#define COUNTERSIGN_PROXY_UPSTREAM_OUTCOME_H_

#include <chrono>
#include <cstdint>

namespace countersign::upstream {

// For outlier detection, peak EWMA and /clusters.
struct Outcome {
  enum class Kind : uint8_t { kResponse, kConnectFailure, kReset, kTimeout };
  Kind kind = Kind::kResponse;
  uint16_t status = 0;                   // kResponse; gRPC's status is mapped to HTTP's
  std::chrono::microseconds latency{0};  // to the response's head; 0: none

  // As Envoy counts: what never became a response is like 503 or 504.
  bool failed() const { return kind != Kind::kResponse || status >= 500; }
  bool gateway_failure() const {
    return kind != Kind::kResponse || (status >= 502 && status <= 504);
  }
};

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_OUTCOME_H_
