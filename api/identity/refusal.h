// A typed "no" of the control plane, before it becomes a message.
#ifndef COUNTERSIGN_API_IDENTITY_REFUSAL_H_
#define COUNTERSIGN_API_IDENTITY_REFUSAL_H_

#include <string>
#include <variant>

#include "absl/time/time.h"
#include "api/identity/v1/identity.pb.h"

namespace countersign::identity {

using RefusalReason = v1::Refusal::Reason;

struct Refused {
  RefusalReason reason = v1::Refusal::INTERNAL;
  // A sentence for the person who must mend it; goes to the caller, so it tells nothing new to one
  // who guesses.
  std::string message;
  // When to try again; zero for a refusal that stays one.
  absl::Duration retry_after = absl::ZeroDuration();
};

template <typename T>
using OrRefused = std::variant<T, Refused>;

// Another attempt with the same evidence cannot succeed.
bool IsFatal(RefusalReason reason);
// The metric label: snake case, `csr_weak_key`.
std::string RefusalLabel(RefusalReason reason);

}  // namespace countersign::identity

#endif  // COUNTERSIGN_API_IDENTITY_REFUSAL_H_
