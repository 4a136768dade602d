#include "proxy/upstream/lb/priority_load.h"

#include <algorithm>

namespace countersign::upstream {
namespace {

// All levels panic, or none has a healthy host: by the numbers of hosts.
void ByNumbers(absl::Span<const LevelHealth> levels, std::vector<LevelLoad>* loads) {
  uint64_t total = 0;
  for (const LevelHealth& level : levels) total += level.total;
  if (total == 0) return;
  uint32_t left = 100;
  size_t first = levels.size();
  for (size_t i = 0; i < levels.size(); ++i) {
    const auto share = static_cast<uint32_t>(100ull * levels[i].total / total);
    (*loads)[i].percent = share;
    (*loads)[i].degraded_percent = 0;
    left -= share;
    if (first == levels.size() && levels[i].total > 0) first = i;
  }
  (*loads)[first].percent += left;  // rounding
}

}  // namespace

std::vector<LevelLoad> DistributeLoad(absl::Span<const LevelHealth> levels,
                                      uint32_t overprovisioning_percent, uint32_t panic_percent) {
  std::vector<LevelLoad> loads(levels.size());
  const auto score = [overprovisioning_percent](uint32_t usable, uint32_t total) -> uint32_t {
    if (total == 0) return 0;
    return static_cast<uint32_t>(
        std::min<uint64_t>(100, static_cast<uint64_t>(overprovisioning_percent) * usable / total));
  };
  uint32_t together = 0;
  for (const LevelHealth& level : levels) {
    together += score(level.healthy, level.total) + score(level.degraded, level.total);
  }
  together = std::min(together, 100u);
  if (together > 0) {
    uint32_t left = 100;
    uint32_t* first = nullptr;  // takes what rounding leaves
    const auto give = [&](uint32_t can, uint32_t* share) {
      *share = std::min(left, can * 100 / together);
      left -= *share;
      if (first == nullptr && can > 0) first = share;
    };
    for (size_t i = 0; i < levels.size(); ++i) {
      give(score(levels[i].healthy, levels[i].total), &loads[i].percent);
    }
    for (size_t i = 0; i < levels.size(); ++i) {
      give(score(levels[i].degraded, levels[i].total), &loads[i].degraded_percent);
    }
    *first += left;
  }
  bool all_panic = true;
  for (size_t i = 0; i < levels.size(); ++i) {
    const LevelHealth& level = levels[i];
    if (level.total == 0) continue;
    loads[i].panic =
        together < 100 && 100ull * (level.healthy + level.degraded) / level.total < panic_percent;
    all_panic = all_panic && loads[i].panic;
  }
  if (all_panic) ByNumbers(levels, &loads);
  return loads;
}

}  // namespace countersign::upstream
