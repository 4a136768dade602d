#include "proxy/upstream/lb/load_balancer.h"

#include <algorithm>
#include <cmath>

#include "proxy/upstream/lb/least_request.h"

namespace countersign::upstream {

std::unique_ptr<LoadBalancer> NewLoadBalancer(const config::Cluster& config,
                                              absl::Span<Host* const> hosts, Random& random) {
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
