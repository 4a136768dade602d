// HTTP in xDS terms: connection managers and routes.
#ifndef COUNTERSIGN_CONTROL_COMPILE_HTTP_H_
#define COUNTERSIGN_CONTROL_COMPILE_HTTP_H_

#include <string>
#include <vector>

#include "api/xds/http_connection_manager.pb.h"
#include "api/xds/listener.pb.h"
#include "api/xds/route.pb.h"
#include "control/registry/model.h"

namespace countersign::control::compile {

using HttpConnectionManager =
    ::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;

// What every connection manager of a proxy has in common, without routes.
HttpConnectionManager ConnectionManager(const registry::Model& model, const std::string& name);

// A chain of one connection manager.
void FillHttpChain(const std::string& name, const HttpConnectionManager& manager,
                   envoy::config::listener::v3::FilterChain* chain);

// A route for everything to the application in `cluster`, which is asked once: no time-out, no
// retries, WebSocket allowed.
void FillApplicationRoute(const std::string& cluster, envoy::config::route::v3::Route* route);

// A virtual host `*` in `routes`.
envoy::config::route::v3::VirtualHost* AddCatchAll(
    envoy::config::route::v3::RouteConfiguration* routes);

// The clusters that `routes` name, mirrors included; sorted, each once.
std::vector<std::string> ClustersOf(const envoy::config::route::v3::RouteConfiguration& routes);

const char* ProtocolName(registry::PortProtocol protocol);

}  // namespace countersign::control::compile

#endif  // COUNTERSIGN_CONTROL_COMPILE_HTTP_H_
