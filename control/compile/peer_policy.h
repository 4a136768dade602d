// Which mTLS a workload demands on a port, and which policy says so.
#ifndef COUNTERSIGN_CONTROL_COMPILE_PEER_POLICY_H_
#define COUNTERSIGN_CONTROL_COMPILE_PEER_POLICY_H_

#include <cstdint>
#include <map>
#include <string>

#include "control/registry/model.h"

namespace countersign::control::compile {

struct MtlsDecision {
  registry::MtlsMode mode = mesh::v1alpha1::MutualTls::STRICT;  // never UNSET
  std::string policy;                                           // `namespace/name`
};

// What one workload demands: on every port, and on those that a policy names.
struct WorkloadMtls {
  MtlsDecision fallback;
  std::map<uint16_t, MtlsDecision> ports;

  const MtlsDecision& For(uint16_t port) const {
    auto it = ports.find(port);
    return it == ports.end() ? fallback : it->second;
  }
};

// Istio's precedence: the workload's policy by port, the workload's, the namespace's, the root
// namespace's, the Mesh's. UNSET asks the next. Among equals the oldest wins, then the first by
// name. Pure.
WorkloadMtls DecideMtls(const registry::Model& model, const registry::Workload& workload);

}  // namespace countersign::control::compile

#endif  // COUNTERSIGN_CONTROL_COMPILE_PEER_POLICY_H_
