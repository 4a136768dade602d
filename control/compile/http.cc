#include "control/compile/http.h"

#include <set>

#include "api/xds/fault.pb.h"
#include "api/xds/http_router.pb.h"
#include "api/xds/names.h"
#include "api/xds/previous_hosts.pb.h"

namespace countersign::control::compile {
namespace {

namespace hcm = ::envoy::extensions::filters::network::http_connection_manager::v3;
namespace listener = ::envoy::config::listener::v3;
namespace route = ::envoy::config::route::v3;

constexpr uint32_t kDefaultRetries = 2;
// Envoy: how often a host is drawn again that was tried already.
constexpr int kHostAttempts = 3;

template <typename Config>
void AddFilter(const char* name, const Config& config, HttpConnectionManager* manager) {
  hcm::HttpFilter* filter = manager->add_http_filters();
  filter->set_name(name);
  filter->mutable_typed_config()->PackFrom(config);
}

}  // namespace

HttpConnectionManager ConnectionManager(const registry::Model&, const std::string& name) {
  HttpConnectionManager out;
  out.set_stat_prefix(name);
  AddFilter(xds::kFaultFilter, envoy::extensions::filters::http::fault::v3::HTTPFault(), &out);
  envoy::extensions::filters::http::router::v3::Router router;
  router.set_suppress_envoy_headers(true);
  AddFilter(xds::kRouterFilter, router, &out);
  out.mutable_normalize_path()->set_value(true);
  out.set_merge_slashes(true);
  out.set_path_with_escaped_slashes_action(HttpConnectionManager::REJECT_REQUEST);
  out.set_forward_client_cert_details(HttpConnectionManager::SANITIZE_SET);
  out.mutable_set_current_client_cert_details()->set_uri(true);
  return out;
}

void FillHttpChain(const std::string& name, const HttpConnectionManager& manager,
                   listener::FilterChain* chain) {
  chain->set_name(name);
  listener::Filter* filter = chain->add_filters();
  filter->set_name(xds::kHttpFilter);
  filter->mutable_typed_config()->PackFrom(manager);
}

void FillApplicationRoute(const std::string& cluster, route::Route* out) {
  out->set_name("default");
  out->mutable_match()->set_prefix("/");
  route::RouteAction* action = out->mutable_route();
  action->set_cluster(cluster);
  action->mutable_timeout();  // 0: none
  route::RouteAction::UpgradeConfig* upgrade = action->add_upgrade_configs();
  upgrade->set_upgrade_type("websocket");
}

void FillDefaultRoute(const std::string& cluster, route::Route* out) {
  FillApplicationRoute(cluster, out);
  route::RetryPolicy* retry = out->mutable_route()->mutable_retry_policy();
  retry->set_retry_on("connect-failure,refused-stream,reset-before-request");
  retry->mutable_num_retries()->set_value(kDefaultRetries);
  route::RetryPolicy::RetryHostPredicate* predicate = retry->add_retry_host_predicate();
  predicate->set_name(xds::kPreviousHosts);
  predicate->mutable_typed_config()->PackFrom(
      envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate());
  retry->set_host_selection_retry_max_attempts(kHostAttempts);
}

route::VirtualHost* AddCatchAll(route::RouteConfiguration* routes) {
  route::VirtualHost* host = routes->add_virtual_hosts();
  host->set_name("default");
  host->add_domains(std::string("*"));
  return host;
}

std::vector<std::string> ClustersOf(const route::RouteConfiguration& routes) {
  std::set<std::string> names;
  for (const route::VirtualHost& host : routes.virtual_hosts()) {
    for (const route::Route& one : host.routes()) {
      if (!one.route().cluster().empty()) {
        names.insert(one.route().cluster());
      }
      for (const auto& weighted : one.route().weighted_clusters().clusters()) {
        names.insert(weighted.name());
      }
      for (const auto& mirror : one.route().request_mirror_policies()) {
        names.insert(mirror.cluster());
      }
    }
  }
  return std::vector<std::string>(names.begin(), names.end());
}

const char* ProtocolName(registry::PortProtocol protocol) {
  switch (protocol) {
    case registry::PortProtocol::kAuto:
      return xds::kProtocolAuto;
    case registry::PortProtocol::kTcp:
      return xds::kProtocolTcp;
    case registry::PortProtocol::kHttp1:
      return xds::kProtocolHttp1;
    case registry::PortProtocol::kHttp2:
      return xds::kProtocolHttp2;
  }
  return "";
}

}  // namespace countersign::control::compile
