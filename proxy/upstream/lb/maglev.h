// The policy MAGLEV.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_LB_MAGLEV_H_
#define COUNTERSIGN_PROXY_UPSTREAM_LB_MAGLEV_H_

#include <cstdint>
#include <vector>

#include "proxy/upstream/lb/load_balancer.h"

namespace countersign::upstream {

// A table of fixed, prime size that all hosts fill in turn, each by its own permutation (Eisenbud
// et al., "Maglev", NSDI 2016, section 3.4); hosts of greater weight have more turns, as in Envoy.
// A look-up is one division, shares are even to a per cent, and a host that comes or goes moves few
// other keys. A request without a key goes anywhere.
class Maglev final : public LoadBalancer {
 public:
  Maglev(const config::Cluster& config, absl::Span<Host* const> hosts, Random& random);
  Host* Choose(const LoadBalancerContext& context, uint32_t attempt, event::Instant now) override;

 private:
  std::vector<Host*> hosts_;
  std::vector<uint32_t> table_;  // indices of hosts_
  Random& random_;
};

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_LB_MAGLEV_H_
