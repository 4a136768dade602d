// Which of a route's clusters a request takes.
#ifndef COUNTERSIGN_PROXY_ROUTER_WEIGHTED_CHOICE_H_
#define COUNTERSIGN_PROXY_ROUTER_WEIGHTED_CHOICE_H_

#include "proxy/config/route.h"
#include "proxy/router/dice.h"

namespace countersign::router {

// In proportion to the weights. Null: there is none, or all weigh nothing.
const config::WeightedCluster* ChooseCluster(const config::ForwardAction& action, Dice& dice);

}  // namespace countersign::router

#endif  // COUNTERSIGN_PROXY_ROUTER_WEIGHTED_CHOICE_H_
