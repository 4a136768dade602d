#include "deploy/redirect/iptables_rules.h"

#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"

namespace countersign::redirect {
namespace {

constexpr char kOutputChain[] = "COUNTERSIGN_OUTPUT";
constexpr char kPreroutingChain[] = "COUNTERSIGN_PREROUTING";
constexpr char kOutputJump[] = "OUTPUT -p tcp -j COUNTERSIGN_OUTPUT";
constexpr char kPreroutingJump[] = "PREROUTING -p tcp -j COUNTERSIGN_PREROUTING";

std::string Text(const Cidr& cidr) { return cidr.ToString(); }

std::string Text(const PortRange& range) {
  return range.first == range.last ? absl::StrCat(range.first)
                                   : absl::StrCat(range.first, ":", range.last);
}

std::string Text(const IdRange& range) {
  return range.first == range.last ? absl::StrCat(range.first)
                                   : absl::StrCat(range.first, "-", range.last);
}

// One condition per value: iptables has sets only with ipset, and multiport stops at 15 ports.
template <typename T>
std::vector<std::string> Each(const char* option, const std::vector<T>& values) {
  std::vector<std::string> conditions;
  for (const T& value : values) {
    conditions.push_back(absl::StrCat(" ", option, " ", Text(value)));
  }
  return conditions;
}

// `interface_side` is -o or -i.
std::vector<std::string> Conditions(const Rule& rule, const char* interface_side) {
  switch (rule.match) {
    case Rule::Match::kAll:
      return {""};
    case Rule::Match::kLoopbackInterface:
      return {absl::StrCat(" ", interface_side, " lo")};
    case Rule::Match::kUid:
      return Each("-m owner --uid-owner", rule.ids);
    case Rule::Match::kGid:
      return Each("-m owner --gid-owner", rule.ids);
    case Rule::Match::kDestination:
      return Each("-d", rule.cidrs);
    case Rule::Match::kSource:
      return Each("-s", rule.cidrs);
    case Rule::Match::kPort:
      return Each("--dport", rule.ports);
  }
  return {};
}

void AppendRules(std::string* out, const char* chain, const std::vector<Rule>& rules,
                 const char* interface_side) {
  for (const Rule& rule : rules) {
    absl::StrAppend(out, "# ", rule.why, "\n");
    for (const std::string& condition : Conditions(rule, interface_side)) {
      absl::StrAppend(
          out, "-A ", chain, " -p tcp", condition, " -j ",
          rule.redirect_to == 0 ? "RETURN" : absl::StrCat("REDIRECT --to-ports ", rule.redirect_to),
          "\n");
    }
  }
}

void AppendUnhook(std::string* out, const IptablesPresent& present) {
  for (int i = 0; i < present.output_jumps; ++i) absl::StrAppend(out, "-D ", kOutputJump, "\n");
  for (int i = 0; i < present.prerouting_jumps; ++i) {
    absl::StrAppend(out, "-D ", kPreroutingJump, "\n");
  }
}

}  // namespace

IptablesPresent ReadIptablesSave(absl::string_view saved) {
  IptablesPresent present;
  const std::string output_jump = absl::StrCat("-A ", kOutputJump);
  const std::string prerouting_jump = absl::StrCat("-A ", kPreroutingJump);
  const std::string output_chain = absl::StrCat(":", kOutputChain, " ");
  const std::string prerouting_chain = absl::StrCat(":", kPreroutingChain, " ");
  for (const absl::string_view line : absl::StrSplit(saved, '\n')) {
    present.output_jumps += line == output_jump;
    present.prerouting_jumps += line == prerouting_jump;
    present.output_chain |= absl::StartsWith(line, output_chain);
    present.prerouting_chain |= absl::StartsWith(line, prerouting_chain);
  }
  return present;
}

std::string IptablesRules(const Options& options, Family family, const IptablesPresent& present) {
  const Plan plan = MakePlan(options, family);
  // Declaring a chain of our own flushes it, even with --noflush.
  std::string script =
      absl::StrCat("*nat\n:", kOutputChain, " - [0:0]\n:", kPreroutingChain, " - [0:0]\n");
  AppendUnhook(&script, present);
  AppendRules(&script, kOutputChain, plan.output, "-o");
  AppendRules(&script, kPreroutingChain, plan.prerouting, "-i");
  absl::StrAppend(&script, "-A ", kOutputJump, "\n-A ", kPreroutingJump, "\nCOMMIT\n");
  return script;
}

std::string IptablesCleanup(const IptablesPresent& present) {
  if (!present.output_chain && !present.prerouting_chain) return "";
  std::string script = "*nat\n";
  AppendUnhook(&script, present);
  if (present.output_chain) {
    absl::StrAppend(&script, "-F ", kOutputChain, "\n-X ", kOutputChain, "\n");
  }
  if (present.prerouting_chain) {
    absl::StrAppend(&script, "-F ", kPreroutingChain, "\n-X ", kPreroutingChain, "\n");
  }
  absl::StrAppend(&script, "COMMIT\n");
  return script;
}

}  // namespace countersign::redirect
