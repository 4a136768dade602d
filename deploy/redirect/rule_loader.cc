#include "deploy/redirect/rule_loader.h"

#include <unistd.h>

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "deploy/redirect/command.h"
#include "deploy/redirect/iptables_rules.h"
#include "deploy/redirect/nft_rules.h"

namespace countersign::redirect {
namespace {

std::string Tool(Family family, const char* suffix) {
  return absl::StrCat(family == Family::kIpv4 ? "iptables" : "ip6tables", suffix);
}

// A status whose message holds the tool's own words and the likely cure.
absl::Status Judge(const std::vector<std::string>& argv,
                   const absl::StatusOr<CommandResult>& result) {
  if (!result.ok()) return result.status();
  if (result->exit_code == 0) return absl::OkStatus();
  const std::string said = std::string(absl::StripAsciiWhitespace(result->error));
  const std::string what = absl::StrCat(absl::StrJoin(argv, " "), " failed (exit code ",
                                        result->exit_code, "): ", said.empty() ? "no words" : said);
  if (absl::StrContains(said, "Operation not permitted") ||
      absl::StrContains(said, "Permission denied") || geteuid() != 0) {
    return absl::PermissionDeniedError(absl::StrCat(
        what,
        ". Writing the pod's rules needs root and CAP_NET_ADMIN in the pod's network namespace: "
        "run this in the init container with NET_ADMIN, or from the CNI plugin"));
  }
  return absl::InternalError(what);
}

absl::Status Run(const std::vector<std::string>& argv, const std::string& input) {
  return Judge(argv, RunCommand(argv, input));
}

absl::StatusOr<IptablesPresent> Present(Family family) {
  const std::vector<std::string> argv = {Tool(family, "-save"), "-t", "nat"};
  const absl::StatusOr<CommandResult> result = RunCommand(argv, "");
  if (absl::Status status = Judge(argv, result); !status.ok()) return status;
  return ReadIptablesSave(result->output);
}

absl::Status RestoreIptables(Family family, const std::string& script) {
  if (script.empty()) return absl::OkStatus();
  return Run({Tool(family, "-restore"), "--noflush"}, script);
}

}  // namespace

RuleLoader::RuleLoader(std::vector<Family> families) : families_(std::move(families)) {}

absl::StatusOr<Backend> RuleLoader::PickBackend(const Options& options) {
  const absl::Status nft = Run({"nft", "--check", "-f", "-"}, NftRules(options, families_));
  if (nft.ok()) return Backend::kNft;
  // Without the capability iptables fails just the same, so its complaint would say nothing new.
  if (absl::IsPermissionDenied(nft)) return nft;
  const absl::StatusOr<IptablesPresent> iptables = Present(Family::kIpv4);
  if (iptables.ok()) return Backend::kIptables;
  return absl::FailedPreconditionError(
      absl::StrCat("neither backend works here. nftables: ", nft.message(),
                   ". iptables: ", iptables.status().message(),
                   ". Install the package nftables (or iptables) in the image that runs this"));
}

absl::Status RuleLoader::Apply(Backend backend, const Options& options) {
  if (backend == Backend::kIptables) {
    if (absl::Status status = ApplyIptables(options); !status.ok()) return status;
    return CleanupNft();
  }
  if (absl::Status status = Run({"nft", "-f", "-"}, NftRules(options, families_)); !status.ok()) {
    return status;
  }
  return CleanupIptables();
}

absl::Status RuleLoader::ApplyIptables(const Options& options) {
  for (size_t i = 0; i < families_.size(); ++i) {
    absl::StatusOr<IptablesPresent> present = Present(families_[i]);
    absl::Status status = present.status();
    if (status.ok()) {
      status = RestoreIptables(families_[i], IptablesRules(options, families_[i], *present));
    }
    if (status.ok()) continue;
    // Half a capture would let one family out in plaintext while everybody believes in the mesh.
    for (size_t done = 0; done < i; ++done) {
      if (absl::StatusOr<IptablesPresent> half = Present(families_[done]); half.ok()) {
        status.Update(RestoreIptables(families_[done], IptablesCleanup(*half)));
      }
    }
    return status;
  }
  return absl::OkStatus();
}

absl::Status RuleLoader::Cleanup() {
  absl::Status status = CleanupNft();
  status.Update(CleanupIptables());
  return status;
}

absl::Status RuleLoader::CleanupNft() {
  const absl::Status status = Run({"nft", "-f", "-"}, NftCleanup(families_));
  return absl::IsNotFound(status) ? absl::OkStatus() : status;
}

absl::Status RuleLoader::CleanupIptables() {
  absl::Status first;
  for (const Family family : families_) {
    const absl::StatusOr<IptablesPresent> present = Present(family);
    // Not installed, or the kernel has no such table: nothing of ours can be in it.
    if (!present.ok()) continue;
    first.Update(RestoreIptables(family, IptablesCleanup(*present)));
  }
  return first;
}

std::vector<Family> KernelFamilies() {
  std::vector<Family> families = {Family::kIpv4};
  if (access("/proc/net/if_inet6", F_OK) == 0) families.push_back(Family::kIpv6);
  return families;
}

}  // namespace countersign::redirect
