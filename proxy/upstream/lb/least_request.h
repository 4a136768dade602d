// The policy LEAST_REQUEST.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_LB_LEAST_REQUEST_H_
#define COUNTERSIGN_PROXY_UPSTREAM_LB_LEAST_REQUEST_H_

#include "proxy/upstream/lb/load_balancer.h"
#include "proxy/upstream/lb/weighted_sampler.h"

namespace countersign::upstream {

// Of `choice_count` hosts (power of two choices by default), taken by weight, the one with the
// least load; the first taken wins a tie. So idle hosts get work in proportion to their weights,
// and load evens itself out beyond that. No more hosts than choices: all are compared.
class LeastRequest final : public LoadBalancer {
 public:
  LeastRequest(const config::Cluster& config, absl::Span<Host* const> hosts, Random& random)
      : config_(config), sampler_(config, hosts, random) {}
  Host* Choose(const LoadBalancerContext& context, uint32_t attempt, event::Instant now) override;

 private:
  const config::Cluster& config_;
  WeightedSampler sampler_;
};

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_LB_LEAST_REQUEST_H_
