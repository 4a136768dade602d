#include "control/registry/reference_grants.h"

#include "absl/strings/str_cat.h"

namespace countersign::control::registry {
namespace {

namespace api = mesh::v1alpha1;

constexpr char kRoutesGroup[] = "gateway.networking.k8s.io";

// Neither kinds nor namespaces contain a `/`.
std::string KeyOf(absl::string_view ns, absl::string_view kind, absl::string_view from) {
  return absl::StrCat(ns, "/", kind, "/", from);
}

}  // namespace

std::string Reference::WhyNot() const {
  return absl::StrCat(
      "Service/", target_ns, "/", target,
      " is in another namespace, and no ReferenceGrant there allows it: add one to ", target_ns,
      " with from {group: ", kRoutesGroup, ", kind: ", kind, ", namespace: ", ns,
      "} and to {kind: Service, name: ", target, "}");
}

void ReferenceGrants::Add(absl::string_view ns, const api::ReferenceGrantSpec& spec) {
  for (const api::ReferenceGrantFrom& from : spec.from()) {
    if (from.group() != kRoutesGroup) {
      continue;
    }
    for (const api::ReferenceGrantTo& to : spec.to()) {
      if (to.kind() == "Service" && (to.group().empty() || to.group() == "core")) {
        services_[KeyOf(ns, from.kind(), from.namespace_())].insert(to.name());
      }
    }
  }
}

bool ReferenceGrants::Allow(const Reference& reference) const {
  if (reference.target_ns == reference.ns || reference.target_ns == reference.parent_ns) {
    return true;
  }
  auto it = services_.find(KeyOf(reference.target_ns, reference.kind, reference.ns));
  return it != services_.end() &&
         (it->second.contains("") || it->second.contains(reference.target));
}

}  // namespace countersign::control::registry
