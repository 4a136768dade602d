// What a request must look like before anything is spent on it.
#ifndef COUNTERSIGN_CONTROL_IDENTITY_REQUEST_CHECK_H_
#define COUNTERSIGN_CONTROL_IDENTITY_REQUEST_CHECK_H_

#include <optional>

#include "api/identity/refusal.h"
#include "api/identity/v1/identity.pb.h"

namespace countersign::control::identity {

inline constexpr size_t kMaxRequestBytes = 64 * 1024;
inline constexpr size_t kMaxRequestIdBytes = 64;
inline constexpr size_t kMaxJoinTokenBytes = 256;
inline constexpr size_t kMaxKubernetesTokenBytes = 16 * 1024;

// Where a request stands in its stream.
struct StreamPosition {
  bool attested = false;
  uint64_t last_version = 0;
};

// Sizes and shape only: no look-up, no cryptography. Nothing of the request is repeated in the
// message but numbers.
std::optional<countersign::identity::Refused> CheckRequest(
    const countersign::identity::v1::IdentityRequest& request, const StreamPosition& position);

}  // namespace countersign::control::identity

#endif  // COUNTERSIGN_CONTROL_IDENTITY_REQUEST_CHECK_H_
