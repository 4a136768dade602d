#include "proxy/upstream/lb/load_balancer.h"

#include <algorithm>
#include <cmath>

#include "proxy/upstream/lb/least_request.h"
#include "proxy/upstream/lb/maglev.h"
#include "proxy/upstream/lb/peak_ewma.h"
#include "proxy/upstream/lb/random_choice.h"
#include "proxy/upstream/lb/ring_hash.h"
#include "proxy/upstream/lb/round_robin.h"

namespace countersign::upstream {

std::unique_ptr<LoadBalancer> NewLoadBalancer(const config::Cluster& config,
                                              absl::Span<Host* const> hosts, Random& random) {
  // One host needs no policy.
  if (hosts.size() == 1) return std::make_unique<RandomChoice>(config, hosts, random);
  switch (config.lb_policy) {
    case config::LbPolicy::kRoundRobin:
      return std::make_unique<RoundRobin>(config, hosts, random);
    case config::LbPolicy::kLeastRequest:
      break;
    case config::LbPolicy::kRandom:
      return std::make_unique<RandomChoice>(config, hosts, random);
    case config::LbPolicy::kPeakEwma:
      return std::make_unique<PeakEwma>(config, hosts, random);
    case config::LbPolicy::kRingHash:
      return std::make_unique<RingHash>(config, hosts, random);
    case config::LbPolicy::kMaglev:
      return std::make_unique<Maglev>(config, hosts, random);
  }
  return std::make_unique<LeastRequest>(config, hosts, random);
}

double SlowStartFactor(const config::Cluster& config, const Host& host, event::Instant now) {
  if (config.slow_start.count() <= 0) return 1;
  const auto since =
      std::chrono::duration_cast<std::chrono::milliseconds>(now - host.healthy_since);
  if (since >= config.slow_start) return 1;
  const double time_factor = std::max<double>(1, static_cast<double>(since.count())) /
                             static_cast<double>(config.slow_start.count());
  const double aggression = config.slow_start_aggression > 0 ? config.slow_start_aggression : 1;
  return std::max(config.slow_start_min_weight_percent / 100.0,
                  std::pow(time_factor, 1 / aggression));
}

}  // namespace countersign::upstream
