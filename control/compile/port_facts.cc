#include "control/compile/port_facts.h"

namespace countersign::control::compile {

using registry::PortProtocol;

std::map<uint16_t, PortFacts> PortsOf(const registry::Model& model,
                                      const registry::Workload& workload) {
  struct Said {
    PortFacts facts;
    int services = 0;
    bool disagree = false;
  };
  std::map<uint16_t, Said> ports;
  for (const registry::Service* service : model.ServicesOf(workload)) {
    for (const registry::ServicePort& port : service->ports) {
      const uint16_t target = registry::TargetPort(port, workload);
      if (target == 0) {
        continue;
      }
      Said& said = ports[target];
      said.disagree |= said.services > 0 && said.facts.protocol != port.protocol;
      said.facts.protocol = port.protocol;
      if (said.facts.service != service) {
        ++said.services;
        said.facts.service = service;
      }
    }
  }
  std::map<uint16_t, PortFacts> out;
  for (const auto& [port, said] : ports) {
    out[port] = {said.disagree ? PortProtocol::kAuto : said.facts.protocol,
                 said.services == 1 ? said.facts.service : nullptr};
  }
  for (const registry::WorkloadPort& port : workload.ports) {
    PortFacts& facts = out[port.port];
    if (port.protocol != PortProtocol::kAuto) {
      facts.protocol = port.protocol;
    }
  }
  return out;
}

}  // namespace countersign::control::compile
