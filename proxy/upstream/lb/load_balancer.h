// The seam of the balancing policies: one of a fixed list of hosts.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_LB_LOAD_BALANCER_H_
#define COUNTERSIGN_PROXY_UPSTREAM_LB_LOAD_BALANCER_H_

#include <memory>
#include <optional>

#include "absl/types/span.h"
#include "proxy/config/cluster.h"
#include "proxy/event/clock.h"
#include "proxy/upstream/host.h"
#include "proxy/upstream/lb/random.h"

namespace countersign::upstream {

// What a balancer may look at.
struct LoadBalancerContext {
  std::optional<uint64_t> hash;         // for ring hash and Maglev
  absl::Span<const Host* const> tried;  // left out as long as there is another
  bool untried_only = false;            // rather none than one of `tried`
};

// Made anew when the list changes. On its worker's thread.
class LoadBalancer {
 public:
  virtual ~LoadBalancer() = default;
  // `attempt` counts from 0 while the caller cannot use what it got; each may give another host.
  virtual Host* Choose(const LoadBalancerContext& context, uint32_t attempt,
                       event::Instant now) = 0;
};

// `hosts` is not empty. `config` and `random` outlive the balancer.
std::unique_ptr<LoadBalancer> NewLoadBalancer(const config::Cluster& config,
                                              absl::Span<Host* const> hosts, Random& random);

// The share of its weight that a host gets now: 1, or less while it starts slowly. Envoy's formula:
// max(minimum, (time since it became healthy / window) ^ (1 / aggression)).
double SlowStartFactor(const config::Cluster& config, const Host& host, event::Instant now);

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_LB_LOAD_BALANCER_H_
