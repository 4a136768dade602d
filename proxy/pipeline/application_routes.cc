#include "proxy/pipeline/application_routes.h"

#include <memory>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"

namespace countersign::pipeline {
namespace {

// Below what servers keep idle connections for by default (gunicorn 2 s, Node.js 5 s): the one that
// closes first must be us, or a request meets a connection that is just being closed. To connect
// anew to the own pod costs next to nothing.
constexpr std::chrono::milliseconds kIdleTimeout{1'500};
// Bounded by the worker's own limit of requests.
constexpr uint32_t kUnlimited = 1 << 20;

const char* ProtocolName(config::AppProtocol protocol) {
  switch (protocol) {
    case config::AppProtocol::kHttp1:
      return "http";
    case config::AppProtocol::kHttp2:
      return "http2";
    default:
      return "auto";
  }
}

std::shared_ptr<const config::Cluster> ClusterOf(const net::Address& application,
                                                 config::AppProtocol protocol,
                                                 std::chrono::milliseconds connect_timeout) {
  auto cluster = std::make_shared<config::Cluster>();
  cluster->name = absl::StrCat("inbound/", application.ToString(), "/", ProtocolName(protocol));
  cluster->connect_timeout = connect_timeout;
  cluster->protocol = protocol;
  cluster->lb_policy = config::LbPolicy::kRoundRobin;
  cluster->breakers.max_connections = kUnlimited;
  cluster->breakers.max_pending_requests = kUnlimited;
  cluster->breakers.max_requests = kUnlimited;
  cluster->pool.idle_timeout = kIdleTimeout;
  config::Endpoint endpoint;
  endpoint.address = application;
  endpoint.transport = config::EndpointTransport::kPlaintext;
  cluster->endpoints.push_back(std::move(endpoint));
  return cluster;
}

std::shared_ptr<const config::RouteConfiguration> RoutesTo(const std::string& cluster) {
  config::Route route;
  route.name = "inbound";
  route.match.path.text = "";  // also `*` and CONNECT, which have no path
  route.forward.clusters.push_back({.cluster = cluster});
  route.forward.total_weight = 1;
  config::VirtualHost host;
  host.name = "inbound";
  host.domains = {"*"};
  host.routes.push_back(std::move(route));
  auto routes = std::make_shared<config::RouteConfiguration>();
  routes->name = "inbound";
  routes->virtual_hosts.push_back(std::move(host));
  return routes;
}

}  // namespace

ApplicationRoutes::~ApplicationRoutes() {
  for (auto& [key, routes] : routes_) routes->Unref();
}

filter::HttpRoutes& ApplicationRoutes::To(const net::Address& application,
                                          config::AppProtocol protocol) {
  const Key key{application, protocol};
  if (const auto it = routes_.find(key); it != routes_.end()) return *it->second;
  if (routes_.size() >= kMaxKept) {
    absl::erase_if(routes_, [](const auto& entry) {
      if (entry.second->shared()) return false;
      entry.second->Unref();
      return true;
    });
  }
  upstream::ClusterRef cluster =
      clusters_.Acquire(ClusterOf(application, protocol, connect_timeout_));
  const std::string& name = cluster->config().name;
  std::vector<filter::HttpRoutes::NamedCluster> clusters;
  clusters.push_back({name, cluster});
  auto* routes = new filter::HttpRoutes(RoutesTo(name), std::move(clusters));
  routes_.emplace(key, routes);
  return *routes;
}

}  // namespace countersign::pipeline
