// Renders the capture rules for nft(8). Pure.
#ifndef COUNTERSIGN_DEPLOY_REDIRECT_NFT_RULES_H_
#define COUNTERSIGN_DEPLOY_REDIRECT_NFT_RULES_H_

#include <string>
#include <vector>

#include "deploy/redirect/options.h"
#include "deploy/redirect/plan.h"

namespace countersign::redirect {

// A script for `nft -f -`, which applies it as one transaction: each family's table `countersign`
// is replaced whole, so running it twice leaves what running it once leaves.
std::string NftRules(const Options& options, const std::vector<Family>& families);

// A script that removes the tables, and succeeds where there are none.
std::string NftCleanup(const std::vector<Family>& families);

}  // namespace countersign::redirect

#endif  // COUNTERSIGN_DEPLOY_REDIRECT_NFT_RULES_H_
