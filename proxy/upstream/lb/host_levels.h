// The hosts of a cluster in the order in which they are wanted, and the choice of one.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_LB_HOST_LEVELS_H_
#define COUNTERSIGN_PROXY_UPSTREAM_LB_HOST_LEVELS_H_

#include <memory>
#include <vector>

#include "absl/types/span.h"
#include "proxy/config/cluster.h"
#include "proxy/upstream/lb/load_balancer.h"
#include "proxy/upstream/lb/priority_load.h"

namespace countersign::upstream {

// Each priority of the configuration is split by nearness (the proxy's own zone, its region, the
// rest) where the cluster prefers that, and the parts follow one another as if they were priorities
// of their own: so near hosts are used as long as enough of them are healthy. Made anew when hosts
// or their health change. On its worker's thread; borrows hosts, `config`, and `random`.
class HostLevels {
 public:
  HostLevels(const config::Cluster& config, const config::Locality& own,
             absl::Span<const std::unique_ptr<Host>> hosts, Random& random);

  // Null: there is no host, or none that `context` allows.
  Host* Choose(const LoadBalancerContext& context, event::Instant now);

  struct Level {
    std::vector<Host*> all;
    std::vector<Host*> healthy;
    std::vector<Host*> degraded;
    LevelLoad load;
    // Made at the first choice.
    std::unique_ptr<LoadBalancer> balancer;  // of `all` in panic, of `healthy` otherwise
    std::unique_ptr<LoadBalancer> degraded_balancer;
    absl::Span<Host* const> in_use() const { return load.panic ? all : healthy; }
  };
  absl::Span<const Level> levels() const { return levels_; }

 private:
  LoadBalancer* PickBalancer(const LoadBalancerContext& context);
  LoadBalancer* Get(std::unique_ptr<LoadBalancer>& balancer, absl::Span<Host* const> hosts);
  Host* SecondBest(const LoadBalancerContext& context, event::Instant now);

  const config::Cluster& config_;
  Random& random_;
  std::vector<Level> levels_;
};

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_LB_HOST_LEVELS_H_
