// The policy RING_HASH.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_LB_RING_HASH_H_
#define COUNTERSIGN_PROXY_UPSTREAM_LB_RING_HASH_H_

#include <cstdint>
#include <vector>

#include "proxy/upstream/lb/load_balancer.h"

namespace countersign::upstream {

// Ketama: each host has points on a ring, in proportion to its weight, and a key goes to the next
// point. A host that comes or goes moves only the keys next to its points. As in Envoy, the
// lightest host gets a whole number of points and the ring has at least `ring_minimum` and at most
// `ring_maximum` of them. A request without a key goes anywhere.
class RingHash final : public LoadBalancer {
 public:
  RingHash(const config::Cluster& config, absl::Span<Host* const> hosts, Random& random);
  Host* Choose(const LoadBalancerContext& context, uint32_t attempt, event::Instant now) override;
  size_t points() const { return ring_.size(); }

 private:
  struct Point {
    uint64_t hash;
    Host* host;
  };

  std::vector<Point> ring_;  // in the order of hashes
  Random& random_;
};

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_LB_RING_HASH_H_
