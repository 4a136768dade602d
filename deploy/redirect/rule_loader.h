// Runs the netfilter tools: the only part of countersign-redirect that touches the system.
#ifndef COUNTERSIGN_DEPLOY_REDIRECT_RULE_LOADER_H_
#define COUNTERSIGN_DEPLOY_REDIRECT_RULE_LOADER_H_

#include <string>
#include <vector>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "deploy/redirect/options.h"
#include "deploy/redirect/plan.h"

namespace countersign::redirect {

enum class Backend { kNft, kIptables };

// Puts rules into the network namespace that the process is in. Not thread-safe; lives as long as
// the program runs.
class RuleLoader {
 public:
  // `families` are those that the kernel has (see KernelFamilies).
  explicit RuleLoader(std::vector<Family> families);

  // nft where `nft` is installed and the kernel takes our rules (asked with `nft --check`, which
  // changes nothing), else iptables, else an error that names both tools' complaints.
  absl::StatusOr<Backend> PickBackend(const Options& options);

  // Replaces our rules, whatever backend an earlier run used. With iptables the families are two
  // transactions; when the second fails the first is taken back.
  absl::Status Apply(Backend backend, const Options& options);

  // Removes our rules from both backends, as far as their tools are installed. Succeeds where there
  // are none.
  absl::Status Cleanup();

 private:
  absl::Status ApplyIptables(const Options& options);
  absl::Status CleanupNft();
  absl::Status CleanupIptables();

  const std::vector<Family> families_;
};

// IPv4, and IPv6 where the kernel has it.
std::vector<Family> KernelFamilies();

}  // namespace countersign::redirect

#endif  // COUNTERSIGN_DEPLOY_REDIRECT_RULE_LOADER_H_
