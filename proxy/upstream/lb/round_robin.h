// The policy ROUND_ROBIN.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_LB_ROUND_ROBIN_H_
#define COUNTERSIGN_PROXY_UPSTREAM_LB_ROUND_ROBIN_H_

#include <cstdint>
#include <vector>

#include "proxy/upstream/lb/load_balancer.h"

namespace countersign::upstream {

// One after the other from a random one on, so that workers and proxies do not march in step. With
// different weights, or while hosts start slowly, earliest deadline first: each host comes due
// after 1 / weight, so that a heavy host's turns are spread evenly among the others'. No
// allocation.
class RoundRobin final : public LoadBalancer {
 public:
  RoundRobin(const config::Cluster& config, absl::Span<Host* const> hosts, Random& random);
  Host* Choose(const LoadBalancerContext& context, uint32_t attempt, event::Instant now) override;

 private:
  struct Entry {
    double deadline;
    uint32_t order;  // breaks ties as they were
    Host* host;
    bool operator>(const Entry& other) const {
      return deadline != other.deadline ? deadline > other.deadline : order > other.order;
    }
  };

  const config::Cluster& config_;
  std::vector<Host*> hosts_;
  std::vector<Entry> due_;  // a heap, earliest first; empty: equal weights
  size_t next_ = 0;
  double now_ = 0;
};

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_LB_ROUND_ROBIN_H_
