// What a pod's capture rules shall be: the command line as a checked value.
#ifndef COUNTERSIGN_DEPLOY_REDIRECT_OPTIONS_H_
#define COUNTERSIGN_DEPLOY_REDIRECT_OPTIONS_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "deploy/redirect/cidr.h"

namespace countersign::redirect {

// First and last id, both included.
struct IdRange {
  uint32_t first;
  uint32_t last;

  // `1000` or `1000-1999`.
  static absl::StatusOr<IdRange> Parse(absl::string_view text);
};

// Exclusions win over inclusions. Lists are reduced (sorted, no overlaps).
struct Options {
  // Whoever has one of these ids is the proxy: its traffic is never captured, so there is no loop.
  uint32_t proxy_uid = 1337;
  std::optional<uint32_t> proxy_gid;

  uint16_t outbound_port = 15001;
  uint16_t inbound_port = 15006;
  bool capture_outbound = true;
  bool capture_inbound = true;

  // With neither list everything is captured. With one or both: what is in either.
  std::vector<Cidr> include_outbound_cidrs;
  std::vector<PortRange> include_outbound_ports;
  std::vector<Cidr> exclude_outbound_cidrs;
  std::vector<PortRange> exclude_outbound_ports;
  std::vector<IdRange> exclude_outbound_uids;

  // Inbound blocks are the caller's addresses.
  std::vector<PortRange> include_inbound_ports;  // empty: all
  std::vector<PortRange> exclude_inbound_ports;
  std::vector<Cidr> exclude_inbound_cidrs;
  // Ports on which the proxy itself is called from outside: tunnel, metrics, readiness.
  std::vector<PortRange> proxy_ports = {{15008, 15008}, {15020, 15021}};
};

// As the flags bring it: one string per element.
struct RawOptions {
  std::string proxy_uid = "1337";
  std::string proxy_gid;
  std::string outbound_port = "15001";
  std::string inbound_port = "15006";
  bool capture_outbound = true;
  bool capture_inbound = true;
  std::vector<std::string> include_outbound_cidrs;
  std::vector<std::string> include_outbound_ports;
  std::vector<std::string> exclude_outbound_cidrs;
  std::vector<std::string> exclude_outbound_ports;
  std::vector<std::string> exclude_outbound_uids;
  std::vector<std::string> include_inbound_ports;
  std::vector<std::string> exclude_inbound_ports;
  std::vector<std::string> exclude_inbound_cidrs;
  std::vector<std::string> proxy_ports = {"15008", "15020", "15021"};
};

// Checks everything. Errors name the flag, the value and the cure.
absl::StatusOr<Options> ParseOptions(const RawOptions& raw);

// What is allowed but seldom meant, one sentence each (for example IPv4 blocks alone, which leave
// IPv6 uncaptured).
std::vector<std::string> Warnings(const Options& options);

}  // namespace countersign::redirect

#endif  // COUNTERSIGN_DEPLOY_REDIRECT_OPTIONS_H_
