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
    left -= share;
    if (first == levels.size() && levels[i].total > 0) first = i;
  }
  (*loads)[first].percent += left;  // rounding
}

}  // namespace

std::vector<LevelLoad> DistributeLoad(absl::Span<const LevelHealth> levels,
                                      uint32_t overprovisioning_percent, uint32_t panic_percent) {
  std::vector<LevelLoad> loads(levels.size());
  std::vector<uint32_t> score(levels.size(), 0);
  uint32_t together = 0;
  for (size_t i = 0; i < levels.size(); ++i) {
    if (levels[i].total == 0) continue;
    score[i] = static_cast<uint32_t>(std::min<uint64_t>(
        100,
        static_cast<uint64_t>(overprovisioning_percent) * levels[i].healthy / levels[i].total));
    together += score[i];
  }
  together = std::min(together, 100u);
  if (together > 0) {
    uint32_t left = 100;
    size_t first = levels.size();
    for (size_t i = 0; i < levels.size(); ++i) {
      if (first == levels.size() && score[i] > 0) first = i;
      loads[i].percent = std::min(left, score[i] * 100 / together);
      left -= loads[i].percent;
    }
    loads[first].percent += left;  // rounding
  }
  bool all_panic = true;
  for (size_t i = 0; i < levels.size(); ++i) {
    if (levels[i].total == 0) continue;
    loads[i].panic = together < 100 && 100ull * levels[i].healthy / levels[i].total < panic_percent;
    all_panic = all_panic && loads[i].panic;
  }
  if (all_panic) ByNumbers(levels, &loads);
  return loads;
}

}  // namespace countersign::upstream
