// The routes of one port of a Service: what HTTPRoutes and GRPCRoutes say, in order of precedence.
#ifndef COUNTERSIGN_CONTROL_COMPILE_ROUTES_H_
#define COUNTERSIGN_CONTROL_COMPILE_ROUTES_H_

#include <string>

#include "api/xds/route.pb.h"
#include "control/registry/model.h"

namespace countersign::control::compile {

// A port of a Service, as callers see it.
struct ServiceFront {
  const registry::Service& service;
  const registry::ServicePort& port;
  // The Service's own, to which requests go that no route is about; it ends with the family that
  // backends' clusters are taken of.
  std::string cluster;
  // The callers'. Empty: of any that has no routes of its own for the Service.
  std::string caller_ns;
};

// Virtual hosts by hostname, in each the rules that apply to it, ordered as the Gateway API says
// (gateway.proto). Pure.
void FillServiceRoutes(const registry::Model& model, const ServiceFront& front,
                       envoy::config::route::v3::RouteConfiguration* out);

}  // namespace countersign::control::compile

#endif  // COUNTERSIGN_CONTROL_COMPILE_ROUTES_H_
