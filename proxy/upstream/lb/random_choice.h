// The policy RANDOM.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_LB_RANDOM_CHOICE_H_
#define COUNTERSIGN_PROXY_UPSTREAM_LB_RANDOM_CHOICE_H_

#include "proxy/upstream/lb/load_balancer.h"
#include "proxy/upstream/lb/weighted_sampler.h"

namespace countersign::upstream {

// Any host, in proportion to weight.
class RandomChoice final : public LoadBalancer {
 public:
  RandomChoice(const config::Cluster& config, absl::Span<Host* const> hosts, Random& random)
      : sampler_(config, hosts, random) {}
  Host* Choose(const LoadBalancerContext&, uint32_t, event::Instant now) override {
    return &sampler_.Sample(now);
  }

 private:
  WeightedSampler sampler_;
};

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_LB_RANDOM_CHOICE_H_
