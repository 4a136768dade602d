// What each kind demands beyond its types: names, ranges, addresses, fields that need each other.
#ifndef COUNTERSIGN_CONTROL_REGISTRY_CHECKS_H_
#define COUNTERSIGN_CONTROL_REGISTRY_CHECKS_H_

#include <vector>

#include "control/registry/field_checker.h"
#include "control/registry/kind.h"

namespace countersign::control::registry {

// Everything that is wrong with `resource` taken by itself; empty when it is well-formed. Pure.
std::vector<FieldError> CheckResource(const Resource& resource);

}  // namespace countersign::control::registry

#endif  // COUNTERSIGN_CONTROL_REGISTRY_CHECKS_H_
