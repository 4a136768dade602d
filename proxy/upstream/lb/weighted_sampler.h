// Takes hosts at random in proportion to their weights, in constant time.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_LB_WEIGHTED_SAMPLER_H_
#define COUNTERSIGN_PROXY_UPSTREAM_LB_WEIGHTED_SAMPLER_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "proxy/config/cluster.h"
#include "proxy/event/clock.h"
#include "proxy/upstream/host.h"
#include "proxy/upstream/lb/random.h"

namespace countersign::upstream {

// Walker's alias table (Vose, 1991); none where all weights are equal. Slow start is a rejection
// on top of it. Of one worker; `config` and `random` outlive it.
class WeightedSampler {
 public:
  WeightedSampler(const config::Cluster& config, absl::Span<Host* const> hosts, Random& random);

  Host& Sample(event::Instant now);
  size_t size() const { return hosts_.size(); }
  absl::Span<Host* const> hosts() const { return hosts_; }

 private:
  Host& SampleByWeight();

  const config::Cluster& config_;
  std::vector<Host*> hosts_;
  struct Column {
    uint32_t keep;  // of 2^32: stay with this column, rather than go to its alias
    uint32_t alias;
  };
  std::vector<Column> table_;  // empty: equal weights
  Random& random_;
};

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_LB_WEIGHTED_SAMPLER_H_
