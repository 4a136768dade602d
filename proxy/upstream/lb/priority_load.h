// How much of the traffic each priority level gets.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_LB_PRIORITY_LOAD_H_
#define COUNTERSIGN_PROXY_UPSTREAM_LB_PRIORITY_LOAD_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"

namespace countersign::upstream {

struct LevelHealth {
  uint32_t healthy = 0;
  uint32_t total = 0;
  uint32_t degraded = 0;  // usable, but the control plane would rather have others used
};

// Shares of the cluster's traffic, in a hundred; all together 100, unless no host can be used.
struct LevelLoad {
  uint32_t percent = 0;           // to the healthy hosts
  uint32_t degraded_percent = 0;  // to the degraded ones
  bool panic = false;             // so few are healthy that all of the level's hosts are used
  bool operator==(const LevelLoad&) const = default;
};

// Envoy's rules, in its integer arithmetic (docs: "Priority levels", "Panic threshold"): a level
// takes what its healthy hosts, overprovisioned, can carry, and the rest goes to the next; panic is
// considered only where all levels together cannot carry everything; where all of them panic, the
// traffic goes by the numbers of hosts.
std::vector<LevelLoad> DistributeLoad(absl::Span<const LevelHealth> levels,
                                      uint32_t overprovisioning_percent, uint32_t panic_percent);

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_LB_PRIORITY_LOAD_H_
