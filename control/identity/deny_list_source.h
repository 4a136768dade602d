// Where revocations come from.
#ifndef COUNTERSIGN_CONTROL_IDENTITY_DENY_LIST_SOURCE_H_
#define COUNTERSIGN_CONTROL_IDENTITY_DENY_LIST_SOURCE_H_

#include <memory>

#include "absl/status/statusor.h"
#include "api/spiffe/trust.h"

namespace countersign::control::identity {

// One thread at a time.
class DenyListSource {
 public:
  virtual ~DenyListSource() = default;

  // The list in force when it differs from the one that was returned before, else null. The first
  // call returns null when there is nothing to deny. An error means that the list cannot be read:
  // the previous one stays in force, and the error is returned once.
  virtual absl::StatusOr<std::shared_ptr<const spiffe::DenyList>> Poll() = 0;
};

}  // namespace countersign::control::identity

#endif  // COUNTERSIGN_CONTROL_IDENTITY_DENY_LIST_SOURCE_H_
