// The order of the capture rules, once for both families and both backends. Pure.
#ifndef COUNTERSIGN_DEPLOY_REDIRECT_PLAN_H_
#define COUNTERSIGN_DEPLOY_REDIRECT_PLAN_H_

#include <cstdint>
#include <string>
#include <vector>

#include "deploy/redirect/cidr.h"
#include "deploy/redirect/options.h"

namespace countersign::redirect {

enum class Family { kIpv4, kIpv6 };

// One rule about TCP. It matches a connection if what its kind says holds for any of the values.
struct Rule {
  enum class Match {
    kAll,
    kLoopbackInterface,  // leaves by lo (outbound) or comes from it (inbound)
    kUid,
    kGid,
    kDestination,
    kSource,
    kPort,
  };
  Match match = Match::kAll;
  std::vector<IdRange> ids = {};
  std::vector<Cidr> cidrs =
      {};  // of the plan's family only, never empty for kDestination and kSource
  std::vector<PortRange> ports = {};
  uint16_t redirect_to = 0;  // 0: leave the connection alone
  std::string why = {};
};

// First match decides; what matches nothing is left alone.
struct Plan {
  std::vector<Rule> output;      // connections that the pod opens
  std::vector<Rule> prerouting;  // connections that come to the pod
};

Plan MakePlan(const Options& options, Family family);

}  // namespace countersign::redirect

#endif  // COUNTERSIGN_DEPLOY_REDIRECT_PLAN_H_
