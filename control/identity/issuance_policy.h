// How long certificates live.
#ifndef COUNTERSIGN_CONTROL_IDENTITY_ISSUANCE_POLICY_H_
#define COUNTERSIGN_CONTROL_IDENTITY_ISSUANCE_POLICY_H_

#include "absl/time/time.h"

namespace countersign::control::identity {

// From Mesh.spec.certificates; replaced as a whole while the server runs.
struct IssuancePolicy {
  absl::Duration ttl = absl::Hours(1);
  // A request for more is refused.
  absl::Duration max_ttl = absl::Hours(24);
  // A request for less is refused, unless the mesh's own ttl is less.
  absl::Duration min_ttl = absl::Minutes(1);

  bool operator==(const IssuancePolicy&) const = default;
};

}  // namespace countersign::control::identity

#endif  // COUNTERSIGN_CONTROL_IDENTITY_ISSUANCE_POLICY_H_
