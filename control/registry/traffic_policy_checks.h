// What TrafficPolicies demand by themselves.
#ifndef COUNTERSIGN_CONTROL_REGISTRY_TRAFFIC_POLICY_CHECKS_H_
#define COUNTERSIGN_CONTROL_REGISTRY_TRAFFIC_POLICY_CHECKS_H_

#include "api/mesh/v1alpha1/traffic_policy.pb.h"
#include "control/registry/field_checker.h"

namespace countersign::control::registry {

void CheckTrafficPolicy(const mesh::v1alpha1::TrafficPolicySpec& spec, FieldChecker* check);

}  // namespace countersign::control::registry

#endif  // COUNTERSIGN_CONTROL_REGISTRY_TRAFFIC_POLICY_CHECKS_H_
