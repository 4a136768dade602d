#include "deploy/redirect/plan.h"

#include <utility>

namespace countersign::redirect {
namespace {

std::vector<Cidr> OfFamily(const std::vector<Cidr>& cidrs, Family family) {
  std::vector<Cidr> kept;
  for (const Cidr& cidr : cidrs) {
    if (cidr.is_v4() == (family == Family::kIpv4)) kept.push_back(cidr);
  }
  return kept;
}

void AddIds(std::vector<Rule>* rules, Rule::Match match, std::vector<IdRange> ids,
            const char* why) {
  if (ids.empty()) return;
  Rule rule{.match = match};
  rule.ids = std::move(ids);
  rule.why = why;
  rules->push_back(std::move(rule));
}

void AddCidrs(std::vector<Rule>* rules, Rule::Match match, std::vector<Cidr> cidrs,
              uint16_t redirect_to, const char* why) {
  if (cidrs.empty()) return;
  Rule rule{.match = match};
  rule.cidrs = std::move(cidrs);
  rule.redirect_to = redirect_to;
  rule.why = why;
  rules->push_back(std::move(rule));
}

void AddPorts(std::vector<Rule>* rules, std::vector<PortRange> ports, uint16_t redirect_to,
              const char* why) {
  if (ports.empty()) return;
  Rule rule{.match = Rule::Match::kPort};
  rule.ports = std::move(ports);
  rule.redirect_to = redirect_to;
  rule.why = why;
  rules->push_back(std::move(rule));
}

void AddAll(std::vector<Rule>* rules, Rule::Match match, uint16_t redirect_to, const char* why) {
  Rule rule{.match = match};
  rule.redirect_to = redirect_to;
  rule.why = why;
  rules->push_back(std::move(rule));
}

std::vector<Rule> Output(const Options& options, Family family) {
  std::vector<Rule> rules;
  if (!options.capture_outbound) return rules;
  // Whatever else is asked for, the proxy's own connections come first: they are what would loop.
  AddIds(&rules, Rule::Match::kUid, {{options.proxy_uid, options.proxy_uid}},
         "the proxy's own connections");
  if (options.proxy_gid) {
    AddIds(&rules, Rule::Match::kGid, {{*options.proxy_gid, *options.proxy_gid}},
           "the proxy's own connections");
  }
  // A call to 127.0.0.1, or to the pod's own address, leaves by lo. It never crosses the network,
  // so there is nothing to encrypt and nobody to authenticate but the pod itself.
  AddAll(&rules, Rule::Match::kLoopbackInterface, 0, "the pod talks to itself");
  AddIds(&rules, Rule::Match::kUid, options.exclude_outbound_uids, "excluded users");
  AddCidrs(&rules, Rule::Match::kDestination, OfFamily(options.exclude_outbound_cidrs, family), 0,
           "excluded destinations");
  AddPorts(&rules, options.exclude_outbound_ports, 0, "excluded ports");
  if (options.include_outbound_cidrs.empty() && options.include_outbound_ports.empty()) {
    AddAll(&rules, Rule::Match::kAll, options.outbound_port, "everything else");
    return rules;
  }
  AddCidrs(&rules, Rule::Match::kDestination, OfFamily(options.include_outbound_cidrs, family),
           options.outbound_port, "included destinations");
  AddPorts(&rules, options.include_outbound_ports, options.outbound_port, "included ports");
  return rules;
}

std::vector<Rule> Prerouting(const Options& options, Family family) {
  std::vector<Rule> rules;
  if (!options.capture_inbound) return rules;
  AddAll(&rules, Rule::Match::kLoopbackInterface, 0, "the pod talks to itself");
  AddPorts(&rules, options.proxy_ports, 0, "the proxy's own services");
  AddCidrs(&rules, Rule::Match::kSource, OfFamily(options.exclude_inbound_cidrs, family), 0,
           "excluded callers");
  AddPorts(&rules, options.exclude_inbound_ports, 0, "excluded ports");
  if (options.include_inbound_ports.empty()) {
    AddAll(&rules, Rule::Match::kAll, options.inbound_port, "everything else");
  } else {
    AddPorts(&rules, options.include_inbound_ports, options.inbound_port, "included ports");
  }
  return rules;
}

}  // namespace

Plan MakePlan(const Options& options, Family family) {
  return Plan{Output(options, family), Prerouting(options, family)};
}

}  // namespace countersign::redirect
