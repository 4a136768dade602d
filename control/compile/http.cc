#include "control/compile/http.h"

#include <set>

#include "api/xds/fault.pb.h"
#include "api/xds/http_router.pb.h"
#include "api/xds/names.h"

namespace countersign::control::compile {
namespace {

namespace hcm = ::envoy::extensions::filters::network::http_connection_manager::v3;
namespace listener = ::envoy::config::listener::v3;
namespace route = ::envoy::config::route::v3;

using mesh::v1alpha1::HttpSettings;

template <typename Config>
void AddFilter(const char* name, const Config& config, HttpConnectionManager* manager) {
  hcm::HttpFilter* filter = manager->add_http_filters();
  filter->set_name(name);
  filter->mutable_typed_config()->PackFrom(config);
}

}  // namespace

HttpConnectionManager ConnectionManager(const registry::Model& model, const std::string& name) {
  HttpConnectionManager out;
  out.set_stat_prefix(name);
  AddFilter(xds::kFaultFilter, envoy::extensions::filters::http::fault::v3::HTTPFault(), &out);
  envoy::extensions::filters::http::router::v3::Router router;
  router.set_suppress_envoy_headers(true);
  AddFilter(xds::kRouterFilter, router, &out);
  const HttpSettings& http = model.mesh().http;
  out.mutable_normalize_path()->set_value(true);
  out.set_merge_slashes(!http.has_merge_slashes() || http.merge_slashes());
  out.set_path_with_escaped_slashes_action(http.escaped_slashes() == HttpSettings::KEEP
                                               ? HttpConnectionManager::KEEP_UNCHANGED
                                           : http.escaped_slashes() == HttpSettings::UNESCAPE
                                               ? HttpConnectionManager::UNESCAPE_AND_FORWARD
                                               : HttpConnectionManager::REJECT_REQUEST);
  if (http.forward_client_cert() == HttpSettings::NONE ||
      http.forward_client_cert() == HttpSettings::RFC9440) {
    // Envoy has no RFC 9440: `inbound` says so in its metadata.
    out.set_forward_client_cert_details(HttpConnectionManager::SANITIZE);
  } else {
    out.set_forward_client_cert_details(HttpConnectionManager::SANITIZE_SET);
    out.mutable_set_current_client_cert_details()->set_uri(true);
  }
  if (http.has_request_headers_timeout()) {
    *out.mutable_request_headers_timeout() = http.request_headers_timeout();
  }
  if (http.has_stream_idle_timeout()) {
    *out.mutable_stream_idle_timeout() = http.stream_idle_timeout();
  }
  if (http.has_idle_timeout()) {
    *out.mutable_common_http_protocol_options()->mutable_idle_timeout() = http.idle_timeout();
  }
  if (http.has_max_connection_duration()) {
    *out.mutable_common_http_protocol_options()->mutable_max_connection_duration() =
        http.max_connection_duration();
  }
  if (http.max_headers_count() != 0) {
    out.mutable_common_http_protocol_options()->mutable_max_headers_count()->set_value(
        http.max_headers_count());
  }
  if (http.max_request_headers_kb() != 0) {
    out.mutable_max_request_headers_kb()->set_value(http.max_request_headers_kb());
  }
  if (http.max_concurrent_streams() != 0) {
    out.mutable_http2_protocol_options()->mutable_max_concurrent_streams()->set_value(
        http.max_concurrent_streams());
  }
  if (model.mesh().trace_percent > 0) {
    out.mutable_tracing()->mutable_random_sampling()->set_value(model.mesh().trace_percent);
  }
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
