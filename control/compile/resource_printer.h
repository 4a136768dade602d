// Everything that a Model compiles to, as text: for golden files and for people.
#ifndef COUNTERSIGN_CONTROL_COMPILE_RESOURCE_PRINTER_H_
#define COUNTERSIGN_CONTROL_COMPILE_RESOURCE_PRINTER_H_

#include <memory>
#include <string>

#include "control/registry/model.h"

namespace countersign::control::compile {

// Text format, embedded messages written out; each workload's own listener, then all others.
// Versions are left out: they follow from the content.
std::string PrintResources(std::shared_ptr<const registry::Model> model);

}  // namespace countersign::control::compile

#endif  // COUNTERSIGN_CONTROL_COMPILE_RESOURCE_PRINTER_H_
