// The policy PEAK_EWMA.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_LB_PEAK_EWMA_H_
#define COUNTERSIGN_PROXY_UPSTREAM_LB_PEAK_EWMA_H_

#include <chrono>

#include "proxy/upstream/lb/load_balancer.h"
#include "proxy/upstream/lb/weighted_sampler.h"

namespace countersign::upstream {

// Power of two choices by expected cost: round trip x (requests under way + 1) / weight. The round
// trip is a moving average that takes every peak at once and forgets it over `ewma_decay` (as in
// Finagle and linkerd2-proxy), so that a host that becomes slow loses traffic with its first slow
// answer, and gets it back as the memory fades. A host that was never measured is taken to be as
// quick as the other one.
class PeakEwma final : public LoadBalancer {
 public:
  PeakEwma(const config::Cluster& config, absl::Span<Host* const> hosts, Random& random)
      : config_(config), sampler_(config, hosts, random), random_(random) {}
  Host* Choose(const LoadBalancerContext& context, uint32_t attempt, event::Instant now) override;

  // Puts a round trip into the host's average. `failed`: it counts as a second at least, so that a
  // host that fails fast does not look quick.
  static void Observe(const config::Cluster& config, std::chrono::microseconds latency, bool failed,
                      event::Instant now, Host* host);
  // The average as it is now, in microseconds; 0: none.
  static double RoundTrip(const config::Cluster& config, const Host& host, event::Instant now);

 private:
  bool Cheaper(const Host& a, const Host& b, event::Instant now) const;

  const config::Cluster& config_;
  WeightedSampler sampler_;
  Random& random_;
};

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_LB_PEAK_EWMA_H_
