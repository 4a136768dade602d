#include "deploy/redirect/redirect_flags.h"

#include <vector>

namespace countersign::redirect {
namespace {

CLI::Option* List(CLI::App* app, const char* flag, const char* env, std::vector<std::string>* into,
                  const char* help) {
  return app->add_option(flag, *into, help)->delimiter(',')->envname(env);
}

}  // namespace

void AddFlags(CLI::App* app, RedirectFlags* flags) {
  RawOptions& rules = flags->rules;
  app->add_option("--proxy-uid", rules.proxy_uid,
                  "User id that the proxy runs as; its own traffic is never captured")
      ->envname("COUNTERSIGN_PROXY_UID")
      ->capture_default_str();
  app->add_option("--proxy-gid", rules.proxy_gid,
                  "Group id that only the proxy has; traffic of that group is never captured")
      ->envname("COUNTERSIGN_PROXY_GID");
  app->add_option("--outbound-port", rules.outbound_port, "Port that captures what the pod opens")
      ->envname("COUNTERSIGN_OUTBOUND_PORT")
      ->capture_default_str();
  app->add_option("--inbound-port", rules.inbound_port, "Port that captures what comes to the pod")
      ->envname("COUNTERSIGN_INBOUND_PORT")
      ->capture_default_str();
  app->add_flag("--outbound,!--no-outbound", rules.capture_outbound,
                "Capture what the pod opens (default: yes)")
      ->envname("COUNTERSIGN_OUTBOUND");
  app->add_flag("--inbound,!--no-inbound", rules.capture_inbound,
                "Capture what comes to the pod (default: yes)")
      ->envname("COUNTERSIGN_INBOUND");
  List(app, "--include-outbound-cidr", "COUNTERSIGN_INCLUDE_OUTBOUND_CIDR",
       &rules.include_outbound_cidrs,
       "Capture only these destinations, and --include-outbound-port's (default: all)");
  List(app, "--include-outbound-port", "COUNTERSIGN_INCLUDE_OUTBOUND_PORT",
       &rules.include_outbound_ports,
       "Capture only these ports, and --include-outbound-cidr's destinations (default: all)");
  List(app, "--exclude-outbound-cidr", "COUNTERSIGN_EXCLUDE_OUTBOUND_CIDR",
       &rules.exclude_outbound_cidrs, "Never capture these destinations");
  List(app, "--exclude-outbound-port", "COUNTERSIGN_EXCLUDE_OUTBOUND_PORT",
       &rules.exclude_outbound_ports, "Never capture these ports or ranges (8000-8100)");
  List(app, "--exclude-outbound-uid", "COUNTERSIGN_EXCLUDE_OUTBOUND_UID",
       &rules.exclude_outbound_uids, "Never capture these users' connections");
  List(app, "--include-inbound-port", "COUNTERSIGN_INCLUDE_INBOUND_PORT",
       &rules.include_inbound_ports, "Capture only calls to these ports (default: all)");
  List(app, "--exclude-inbound-port", "COUNTERSIGN_EXCLUDE_INBOUND_PORT",
       &rules.exclude_inbound_ports, "Never capture calls to these ports");
  List(app, "--exclude-inbound-cidr", "COUNTERSIGN_EXCLUDE_INBOUND_CIDR",
       &rules.exclude_inbound_cidrs, "Never capture calls from these addresses");
  List(app, "--proxy-port", "COUNTERSIGN_PROXY_PORT", &rules.proxy_ports,
       "Ports on which the proxy itself is called: tunnel, metrics, readiness")
      ->capture_default_str();
  app->add_option("--backend", flags->backend, "auto, nft or iptables")
      ->check(CLI::IsMember({"auto", "nft", "iptables"}))
      ->envname("COUNTERSIGN_BACKEND")
      ->capture_default_str();
  app->add_option("--ipv6", flags->ipv6, "auto, on or off; off leaves IPv6 uncaptured")
      ->check(CLI::IsMember({"auto", "on", "off"}))
      ->envname("COUNTERSIGN_IPV6")
      ->capture_default_str();
  app->add_flag("--dry-run", flags->dry_run,
                "Print what would be given to the tool (nft's unless --backend says iptables) and "
                "change nothing");
  app->add_flag("--cleanup", flags->cleanup, "Remove every rule that this program wrote");
}

}  // namespace countersign::redirect
