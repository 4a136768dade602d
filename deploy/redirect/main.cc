// countersign-redirect: writes the netfilter rules that bring a pod's TCP to its proxy.
#include <iostream>
#include <string>
#include <vector>

#include "CLI/CLI.hpp"
#include "deploy/redirect/iptables_rules.h"
#include "deploy/redirect/nft_rules.h"
#include "deploy/redirect/options.h"
#include "deploy/redirect/redirect_flags.h"
#include "deploy/redirect/rule_loader.h"

namespace countersign::redirect {
namespace {

int Fail(const absl::Status& status) {
  std::cerr << "countersign-redirect: " << status.message() << "\n";
  return absl::IsInvalidArgument(status) ? 2 : 1;
}

std::vector<Family> Families(const std::string& ipv6) {
  if (ipv6 == "on") return {Family::kIpv4, Family::kIpv6};
  if (ipv6 == "off") return {Family::kIpv4};
  std::vector<Family> families = KernelFamilies();
  if (families.size() == 1) {
    std::cerr << "countersign-redirect: the kernel has no IPv6; writing IPv4 rules only\n";
  }
  return families;
}

void PrintScript(Backend backend, const Options& options, const std::vector<Family>& families) {
  if (backend == Backend::kNft) {
    std::cout << NftRules(options, families);
    return;
  }
  for (const Family family : families) {
    std::cout << (family == Family::kIpv4 ? "# iptables-restore --noflush\n"
                                          : "# ip6tables-restore --noflush\n")
              << IptablesRules(options, family, {});
  }
}

int Main(int argc, char** argv) {
  CLI::App app(
      "Writes the rules that bring a pod's TCP to its proxy, in the network namespace that it runs "
      "in. Running it again replaces them.");
  RedirectFlags flags;
  AddFlags(&app, &flags);
  CLI11_PARSE(app, argc, argv);

  const absl::StatusOr<Options> options = ParseOptions(flags.rules);
  if (!options.ok()) return Fail(options.status());
  for (const std::string& warning : Warnings(*options)) {
    std::cerr << "countersign-redirect: warning: " << warning << "\n";
  }
  const std::vector<Family> families = Families(flags.ipv6);
  RuleLoader loader(families);
  if (flags.cleanup) {
    if (flags.dry_run) {
      std::cout << NftCleanup(families);
      return 0;
    }
    if (absl::Status status = loader.Cleanup(); !status.ok()) return Fail(status);
    std::cerr << "countersign-redirect: rules removed\n";
    return 0;
  }

  Backend backend = flags.backend == "iptables" ? Backend::kIptables : Backend::kNft;
  if (flags.backend == "auto" && !flags.dry_run) {
    const absl::StatusOr<Backend> picked = loader.PickBackend(*options);
    if (!picked.ok()) return Fail(picked.status());
    backend = *picked;
  }
  if (flags.dry_run) {
    PrintScript(backend, *options, families);
    return 0;
  }
  if (absl::Status status = loader.Apply(backend, *options); !status.ok()) return Fail(status);
  std::cerr << "countersign-redirect: " << (backend == Backend::kNft ? "nftables" : "iptables")
            << " rules for " << (families.size() == 2 ? "IPv4 and IPv6" : "IPv4")
            << " are in force\n";
  return 0;
}

}  // namespace
}  // namespace countersign::redirect

int main(int argc, char** argv) { return countersign::redirect::Main(argc, argv); }
