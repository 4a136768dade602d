#include "control/compile/peer_policy.h"

namespace countersign::control::compile {
namespace {

using mesh::v1alpha1::MutualTls;
using registry::PeerAuthentication;

// The oldest policy of `ns` that covers the whole namespace, or, with `workload`, that selects it.
const PeerAuthentication* Find(const registry::Model& model, const std::string& ns,
                               const registry::Workload* workload) {
  for (const PeerAuthentication* policy : model.PoliciesOf(ns)) {
    if (workload == nullptr ? policy->selector.empty()
                            : registry::Selects(policy->selector, workload->labels)) {
      return policy;
    }
  }
  return nullptr;
}

}  // namespace

WorkloadMtls DecideMtls(const registry::Model& model, const registry::Workload& workload) {
  WorkloadMtls result;
  result.fallback = {model.mesh().mtls, model.mesh().policy_name};
  const auto narrow = [&](const PeerAuthentication* policy) {
    if (policy != nullptr && policy->mode != MutualTls::UNSET) {
      result.fallback = {policy->mode, policy->Key()};
    }
  };
  narrow(Find(model, registry::kRootNamespace, nullptr));
  narrow(Find(model, workload.ns, nullptr));
  const PeerAuthentication* own = Find(model, workload.ns, &workload);
  narrow(own);
  if (own != nullptr) {
    for (const auto& [port, mode] : own->ports) {
      if (mode != MutualTls::UNSET) {
        result.ports[port] = {mode, own->Key()};
      }
    }
  }
  return result;
}

}  // namespace countersign::control::compile
