// What HTTPRoutes, GRPCRoutes and ReferenceGrants demand by themselves.
#ifndef COUNTERSIGN_CONTROL_REGISTRY_ROUTE_CHECKS_H_
#define COUNTERSIGN_CONTROL_REGISTRY_ROUTE_CHECKS_H_

#include "api/mesh/v1alpha1/gateway.pb.h"
#include "control/registry/field_checker.h"

namespace countersign::control::registry {

void CheckHttpRoute(const mesh::v1alpha1::HTTPRouteSpec& spec, FieldChecker* check);
void CheckGrpcRoute(const mesh::v1alpha1::GRPCRouteSpec& spec, FieldChecker* check);
void CheckReferenceGrant(const mesh::v1alpha1::ReferenceGrantSpec& spec, FieldChecker* check);

}  // namespace countersign::control::registry

#endif  // COUNTERSIGN_CONTROL_REGISTRY_ROUTE_CHECKS_H_
