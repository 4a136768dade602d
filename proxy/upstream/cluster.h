// A cluster at work: hosts and their health, balancing, limits, pools.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_CLUSTER_H_
#define COUNTERSIGN_PROXY_UPSTREAM_CLUSTER_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>

#include "absl/types/span.h"
#include "proxy/config/cluster.h"
#include "proxy/upstream/http_stream_request.h"

namespace countersign::upstream {

// What a balancer may look at.
struct LoadBalancerContext {
  std::optional<uint64_t> hash;         // for ring hash and Maglev
  absl::Span<const Host* const> tried;  // left out as long as there is another
};

// How a request at a host went: for outlier detection, peak EWMA and /clusters.
struct Outcome {
  enum class Kind : uint8_t { kResponse, kConnectFailure, kReset, kTimeout };
  Kind kind = Kind::kResponse;
  uint16_t status = 0;                   // kResponse; gRPC's status is mapped to HTTP's
  std::chrono::microseconds latency{0};  // to the response's head; 0: none
};

// One a worker and name, shared by the destinations and routes that lead to it; ClusterTable owns
// it. On its worker's thread.
class Cluster {
 public:
  const config::Cluster& config() const { return *config_; }

  // Null: there is none, or none that may be used.
  Host* ChooseHost(const LoadBalancerContext& context);
  // A stream to `host`, which stays valid (counted) until the stream's end. Counts against the
  // circuit breakers.
  void NewStream(Host& host, HttpStreamRequest& request);
  void OnOutcome(Host& host, const Outcome& outcome);

  // The retry breaker and budget. True must be followed by EndRetry once that try is over.
  bool BeginRetry();
  void EndRetry();

 private:
  friend class ClusterTable;
  std::shared_ptr<const config::Cluster> config_;
};

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_CLUSTER_H_
