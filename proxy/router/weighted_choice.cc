#include "proxy/router/weighted_choice.h"

namespace countersign::router {

const config::WeightedCluster* ChooseCluster(const config::ForwardAction& action, Dice& dice) {
  // One cluster needs no throw, nor a total.
  if (action.clusters.size() == 1) {
    return action.clusters[0].weight > 0 ? &action.clusters[0] : nullptr;
  }
  uint64_t at = dice.Below(action.total_weight);
  for (const config::WeightedCluster& cluster : action.clusters) {
    if (at < cluster.weight) return &cluster;
    at -= cluster.weight;
  }
  return nullptr;
}

}  // namespace countersign::router
