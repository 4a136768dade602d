// What HTTPRoutes and GRPCRoutes demand by themselves.
#ifndef COUNTERSIGN_CONTROL_REGISTRY_ROUTE_CHECKS_H_
#define COUNTERSIGN_CONTROL_REGISTRY_ROUTE_CHECKS_H_

#include "api/mesh/v1alpha1/gateway.pb.h"
#include "control/registry/field_checker.h"
#include "control/registry/kind.h"

namespace countersign::control::registry {

void CheckHttpRoute(const Resource& resource, const mesh::v1alpha1::HTTPRouteSpec& spec,
                    FieldChecker* check);
void CheckGrpcRoute(const Resource& resource, const mesh::v1alpha1::GRPCRouteSpec& spec,
                    FieldChecker* check);

}  // namespace countersign::control::registry

#endif  // COUNTERSIGN_CONTROL_REGISTRY_ROUTE_CHECKS_H_
