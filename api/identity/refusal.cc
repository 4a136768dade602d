#include "api/identity/refusal.h"

#include "absl/strings/ascii.h"

namespace countersign::identity {

bool IsFatal(RefusalReason reason) {
  return reason != v1::Refusal::RATE_LIMITED && reason != v1::Refusal::AUTHORITY_UNAVAILABLE &&
         reason != v1::Refusal::INTERNAL;
}

std::string RefusalLabel(RefusalReason reason) {
  return absl::AsciiStrToLower(v1::Refusal::Reason_Name(reason));
}

}  // namespace countersign::identity
