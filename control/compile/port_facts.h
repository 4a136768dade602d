// What is known of a port on which a workload listens.
#ifndef COUNTERSIGN_CONTROL_COMPILE_PORT_FACTS_H_
#define COUNTERSIGN_CONTROL_COMPILE_PORT_FACTS_H_

#include <cstdint>
#include <map>

#include "control/registry/model.h"

namespace countersign::control::compile {

struct PortFacts {
  // The workload's own word, or else the Services' that lead here if they agree.
  registry::PortProtocol protocol = registry::PortProtocol::kAuto;
  // Null if no Service leads here, or several do.
  const registry::Service* service = nullptr;
};

// The ports that the workload or a Service names. Pure.
std::map<uint16_t, PortFacts> PortsOf(const registry::Model& model,
                                      const registry::Workload& workload);

}  // namespace countersign::control::compile

#endif  // COUNTERSIGN_CONTROL_COMPILE_PORT_FACTS_H_
