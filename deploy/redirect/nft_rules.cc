#include "deploy/redirect/nft_rules.h"

#include "absl/strings/str_cat.h"

namespace countersign::redirect {
namespace {

const char* Name(Family family) { return family == Family::kIpv4 ? "ip" : "ip6"; }

std::string Text(const Cidr& cidr) { return cidr.ToString(); }

template <typename Range>
std::string Text(const Range& range) {
  return range.first == range.last ? absl::StrCat(range.first)
                                   : absl::StrCat(range.first, "-", range.last);
}

template <typename T>
std::string Set(const std::vector<T>& values) {
  if (values.size() == 1) return Text(values[0]);
  std::string set = "{ ";
  for (const T& value : values) {
    absl::StrAppend(&set, &value == &values[0] ? "" : ", ", Text(value));
  }
  return set + " }";
}

// `interface_side` is oifname or iifname.
std::string Condition(const Rule& rule, Family family, const char* interface_side) {
  switch (rule.match) {
    case Rule::Match::kAll:
      return "meta l4proto tcp";
    case Rule::Match::kLoopbackInterface:
      return absl::StrCat(interface_side, " \"lo\"");
    case Rule::Match::kUid:
      return absl::StrCat("meta skuid ", Set(rule.ids));
    case Rule::Match::kGid:
      return absl::StrCat("meta skgid ", Set(rule.ids));
    case Rule::Match::kDestination:
      return absl::StrCat(Name(family), " daddr ", Set(rule.cidrs), " meta l4proto tcp");
    case Rule::Match::kSource:
      return absl::StrCat(Name(family), " saddr ", Set(rule.cidrs), " meta l4proto tcp");
    case Rule::Match::kPort:
      return absl::StrCat("tcp dport ", Set(rule.ports));
  }
  return "";
}

void AppendChain(std::string* out, const char* hook, const std::vector<Rule>& rules, Family family,
                 const char* interface_side) {
  if (rules.empty()) return;
  // -100 is `dstnat`; the number is understood by every nft, the name is not.
  absl::StrAppend(out, "  chain ", hook, " {\n    type nat hook ", hook,
                  " priority -100; policy accept;\n");
  for (const Rule& rule : rules) {
    absl::StrAppend(
        out, "    ", Condition(rule, family, interface_side), " ",
        rule.redirect_to == 0 ? "return" : absl::StrCat("redirect to :", rule.redirect_to),
        " comment \"", rule.why, "\"\n");
  }
  absl::StrAppend(out, "  }\n");
}

}  // namespace

std::string NftRules(const Options& options, const std::vector<Family>& families) {
  std::string script = NftCleanup(families);
  for (const Family family : families) {
    const Plan plan = MakePlan(options, family);
    absl::StrAppend(&script, "table ", Name(family), " countersign {\n");
    AppendChain(&script, "output", plan.output, family, "oifname");
    AppendChain(&script, "prerouting", plan.prerouting, family, "iifname");
    absl::StrAppend(&script, "}\n");
  }
  return script;
}

std::string NftCleanup(const std::vector<Family>& families) {
  std::string script;
  for (const Family family : families) {
    // `delete` fails on a table that is not there, `add` does not on one that is.
    absl::StrAppend(&script, "add table ", Name(family), " countersign\n", "delete table ",
                    Name(family), " countersign\n");
  }
  return script;
}

}  // namespace countersign::redirect
