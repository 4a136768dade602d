// Renders the capture rules for iptables-restore(8) and ip6tables-restore(8), for nodes without
// nftables. Pure.
#ifndef COUNTERSIGN_DEPLOY_REDIRECT_IPTABLES_RULES_H_
#define COUNTERSIGN_DEPLOY_REDIRECT_IPTABLES_RULES_H_

#include <string>

#include "absl/strings/string_view.h"
#include "deploy/redirect/options.h"
#include "deploy/redirect/plan.h"

namespace countersign::redirect {

// What an earlier run left in the nat table. iptables has no "delete if it is there", so the script
// depends on it.
struct IptablesPresent {
  int output_jumps = 0;
  int prerouting_jumps = 0;
  bool output_chain = false;
  bool prerouting_chain = false;
};

// Reads the output of `iptables-save -t nat`.
IptablesPresent ReadIptablesSave(absl::string_view saved);

// A script for `iptables-restore --noflush` (or ip6tables-restore): one transaction, which replaces
// our two chains and the jumps to them and touches nothing else.
std::string IptablesRules(const Options& options, Family family, const IptablesPresent& present);

// Removes what is present; empty where nothing is.
std::string IptablesCleanup(const IptablesPresent& present);

}  // namespace countersign::redirect

#endif  // COUNTERSIGN_DEPLOY_REDIRECT_IPTABLES_RULES_H_
