#include "proxy/admin/config_dump_page.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "absl/strings/str_cat.h"
#include "proxy/admin/config_names.h"
#include "proxy/admin/route_json.h"

namespace countersign::admin {
namespace {

using Json = nlohmann::ordered_json;

Json PortPolicy(const config::PortPolicy& policy) {
  Json json = {{"mode", MtlsModeName(policy.mode)},
               {"policy", policy.policy},
               {"protocol", AppProtocolName(policy.protocol)}};
  if (!policy.service.empty()) {
    json["service"] = absl::StrCat(policy.service_namespace, "/", policy.service);
  }
  return json;
}

Json Endpoint(const config::Endpoint& endpoint) {
  Json json = {{"address", endpoint.address.ToString()},
               {"transport", TransportName(endpoint.transport)}};
  if (endpoint.transport == config::EndpointTransport::kHbone) {
    json["tunnel"] = endpoint.tunnel.ToString();
    json["mesh_http"] = endpoint.mesh_http;
  }
  if (endpoint.transport != config::EndpointTransport::kPlaintext) {
    json["identity"] = endpoint.identity.ToString();
  }
  json["workload"] = endpoint.workload;
  json["workload_namespace"] = endpoint.workload_namespace;
  json["weight"] = endpoint.weight;
  json["priority"] = endpoint.priority;
  if (!endpoint.locality.region.empty() || !endpoint.locality.zone.empty()) {
    json["locality"] = absl::StrCat(endpoint.locality.region, "/", endpoint.locality.zone, "/",
                                    endpoint.locality.sub_zone);
  }
  json["healthy"] = endpoint.healthy;
  return json;
}

Json HealthCheckJson(const config::HealthCheck& check) {
  constexpr const char* kKinds[] = {"HTTP", "gRPC", "TCP"};
  Json json = {{"kind", kKinds[static_cast<size_t>(check.kind)]},
               {"interval_ms", check.interval.count()},
               {"timeout_ms", check.timeout.count()},
               {"unhealthy_threshold", check.unhealthy_threshold},
               {"healthy_threshold", check.healthy_threshold}};
  if (check.kind == config::HealthCheck::Kind::kHttp) json["path"] = check.path;
  return json;
}

Json ClusterJson(const config::Cluster& cluster) {
  Json json = {{"service", cluster.service},
               {"service_namespace", cluster.service_namespace},
               {"protocol", AppProtocolName(cluster.protocol)},
               {"lb_policy", LbPolicyName(cluster.lb_policy)},
               {"connect_timeout_ms", cluster.connect_timeout.count()},
               {"circuit_breakers",
                {{"max_connections", cluster.breakers.max_connections},
                 {"max_pending_requests", cluster.breakers.max_pending_requests},
                 {"max_requests", cluster.breakers.max_requests},
                 {"max_retries", cluster.breakers.max_retries},
                 {"retry_budget_percent", cluster.breakers.retry_budget_percent}}},
               {"pool",
                {{"max_requests_per_connection", cluster.pool.max_requests_per_connection},
                 {"max_connection_age_ms", cluster.pool.max_connection_age.count()},
                 {"idle_timeout_ms", cluster.pool.idle_timeout.count()},
                 {"max_concurrent_streams", cluster.pool.max_concurrent_streams}}}};
  if (cluster.outlier.enabled) {
    json["outlier_detection"] = {
        {"consecutive_5xx", cluster.outlier.consecutive_5xx},
        {"consecutive_gateway_failure", cluster.outlier.consecutive_gateway_failure},
        {"success_rate", cluster.outlier.success_rate},
        {"base_ejection_time_ms", cluster.outlier.base_ejection_time.count()},
        {"max_ejection_percent", cluster.outlier.max_ejection_percent}};
  }
  Json checks = Json::array();
  for (const config::HealthCheck& check : cluster.health_checks) {
    checks.push_back(HealthCheckJson(check));
  }
  json["health_checks"] = std::move(checks);
  Json endpoints = Json::array();
  for (const config::Endpoint& endpoint : cluster.endpoints) {
    endpoints.push_back(Endpoint(endpoint));
  }
  json["endpoints"] = std::move(endpoints);
  return json;
}

Json HttpJson(const config::HttpOptions& http) {
  constexpr const char* kEscapedSlashes[] = {"KEEP", "REJECT", "UNESCAPE"};
  return {{"merge_slashes", http.merge_slashes},
          {"escaped_slashes", kEscapedSlashes[static_cast<size_t>(http.escaped_slashes)]},
          {"request_headers_timeout_ms", http.request_headers_timeout.count()},
          {"stream_idle_timeout_ms", http.stream_idle_timeout.count()},
          {"idle_timeout_ms", http.idle_timeout.count()},
          {"max_connection_age_ms", http.max_connection_age.count()},
          {"max_header_bytes", http.max_header_bytes},
          {"max_headers", http.max_headers},
          {"max_concurrent_streams", http.max_concurrent_streams},
          {"trace_per_million", http.trace_per_million}};
}

Json DestinationJson(const config::Destination& destination) {
  if (destination.kind == config::Destination::Kind::kUnknown) {
    return {{"kind", "unknown"}};
  }
  Json json = {{"kind", "cluster"}};
  if (destination.cluster != nullptr) json["cluster"] = destination.cluster->name;
  if (destination.routes != nullptr) {
    json["routes"] = destination.routes->name;
    json["http"] = HttpJson(destination.http);
  }
  return json;
}

Json Standing(const config::ProxyConfig& config) {
  std::map<int, Json> ordered;
  for (const auto& [port, policy] : config.inbound.ports) {
    ordered[port] = PortPolicy(policy);
  }
  Json ports = Json::object();
  for (auto& [port, policy] : ordered) {
    ports[std::to_string(port)] = std::move(policy);
  }
  const bool any = config.outbound.mode == config::OutboundPolicy::Mode::kAllowAny;
  return {{"inbound", {{"default", PortPolicy(config.inbound.fallback)}, {"ports", ports}}},
          {"outbound",
           {{"mode", any ? "ALLOW_ANY" : "REGISTRY_ONLY"}, {"policy", config.outbound.name}}},
          {"http", HttpJson(config.http)}};
}

}  // namespace

std::string RenderConfigDump(const ConfigDump& dump) {
  Json json;
  for (const auto& [name, value] : dump.flags) {
    json["flags"][name] = value;
  }
  json["standing"] = dump.config != nullptr ? Standing(*dump.config) : Json(nullptr);
  // Several destinations may lead to the same clusters and routes: each stands once.
  std::map<std::string, const config::Cluster*> clusters;
  std::map<std::string, const config::RouteConfiguration*> routes;
  json["destinations"] = Json::object();
  for (const auto& [address, destination] : dump.destinations) {
    json["destinations"][address] = DestinationJson(*destination);
    if (destination->cluster != nullptr) {
      clusters[destination->cluster->name] = destination->cluster.get();
    }
    for (const auto& cluster : destination->route_clusters) {
      clusters[cluster->name] = cluster.get();
    }
    if (destination->routes != nullptr) {
      routes[destination->routes->name] = destination->routes.get();
    }
  }
  json["clusters"] = Json::object();
  for (const auto& [name, cluster] : clusters) {
    json["clusters"][name] = ClusterJson(*cluster);
  }
  json["routes"] = Json::object();
  for (const auto& [name, configuration] : routes) {
    json["routes"][name] = RouteConfigurationJson(*configuration);
  }
  json["xds"] = {{"connected", dump.xds_connected}, {"error", dump.xds_error}};
  json["xds"]["versions"] = Json::object();
  for (const auto& [name, version] : dump.versions) {
    json["xds"]["versions"][name] = version;
  }
  // Names come from configuration: what is not UTF-8 is replaced, never thrown at us.
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace countersign::admin
