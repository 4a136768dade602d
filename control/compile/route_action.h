// What one rule of a route does with requests.
#ifndef COUNTERSIGN_CONTROL_COMPILE_ROUTE_ACTION_H_
#define COUNTERSIGN_CONTROL_COMPILE_ROUTE_ACTION_H_

#include <string>

#include "api/mesh/v1alpha1/gateway.pb.h"
#include "api/mesh/v1alpha1/traffic_policy.pb.h"
#include "api/xds/route.pb.h"
#include "control/registry/model.h"

namespace countersign::control::compile {

// Where a rule stands: in a route of one port of a Service.
struct RouteScope {
  const registry::ReferenceGrants* grants = nullptr;
  const registry::HttpRoute* from = nullptr;
  std::string parent_ns;                                      // the Service's
  std::string family;                                         // `v4` or `v6`: of backends' clusters
  const mesh::v1alpha1::TrafficPolicySpec* policy = nullptr;  // of the port
};

// A route for everything to `cluster`, as `policy` says (or nothing, where it is null): retries of
// what certainly never arrived, no time-out, WebSocket allowed.
void FillDefaultRoute(const std::string& cluster, const mesh::v1alpha1::TrafficPolicySpec* policy,
                      envoy::config::route::v3::Route* route);

// The action, header changes and faults of a rule; `route` has its match already. `prefix` is
// what it matches by PathPrefix, without a `/` at the end; empty also where it matches otherwise.
void FillAction(const mesh::v1alpha1::HTTPRouteRule& rule, const RouteScope& scope,
                const std::string& prefix, envoy::config::route::v3::Route* route);
void FillAction(const mesh::v1alpha1::GRPCRouteRule& rule, const RouteScope& scope,
                envoy::config::route::v3::Route* route);

}  // namespace countersign::control::compile

#endif  // COUNTERSIGN_CONTROL_COMPILE_ROUTE_ACTION_H_
