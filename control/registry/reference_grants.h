#ifndef COUNTERSIGN_CONTROL_REGISTRY_REFERENCE_GRANTS_H_
#define COUNTERSIGN_CONTROL_REGISTRY_REFERENCE_GRANTS_H_

#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "api/mesh/v1alpha1/gateway.pb.h"

namespace countersign::control::registry {

// A route that sends requests to a Service.
struct Reference {
  absl::string_view kind;       // `HTTPRoute`
  absl::string_view ns;         // the route's
  absl::string_view parent_ns;  // of the Service that the requests were made to
  absl::string_view target_ns;  // of the Service that they go to
  absl::string_view target;

  // `no ReferenceGrant ...`, and the one that would.
  std::string WhyNot() const;
};

// Which references from one namespace to another are allowed.
//
// The Gateway API leaves it to a mesh whether its routes need grants (GEP-1294, `Namespace
// boundaries`). Here they do: what arrives at a Service is its namespace's affair. Where requests
// would have gone without any route, they may go.
class ReferenceGrants {
 public:
  void Add(absl::string_view ns, const mesh::v1alpha1::ReferenceGrantSpec& spec);
  bool Allow(const Reference& reference) const;

 private:
  // By the grant's namespace, and the kind and namespace of routes: the Services. `` means all.
  absl::flat_hash_map<std::string, absl::flat_hash_set<std::string>> services_;
};

}  // namespace countersign::control::registry

#endif  // COUNTERSIGN_CONTROL_REGISTRY_REFERENCE_GRANTS_H_
