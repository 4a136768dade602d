// Who signs the control plane's online intermediate: its own root, or an authority above it.
#ifndef COUNTERSIGN_CONTROL_CA_SIGNER_H_
#define COUNTERSIGN_CONTROL_CA_SIGNER_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/time/time.h"
#include "api/spiffe/openssl_ptr.h"

namespace countersign::control::ca {

// Called by one thread at a time, never on the path of a leaf: leaves are always signed by the
// online intermediate, so that an authority that is slow or gone delays nobody.
class Signer {
 public:
  virtual ~Signer() = default;

  // A CA certificate (path length 0) for `key`, DER, followed by whatever stands between it and the
  // root, the root left out. `not_after` is the latest that is wanted; it may come out earlier.
  virtual absl::StatusOr<std::vector<std::string>> SignIntermediate(EVP_PKEY* key,
                                                                    absl::Time not_before,
                                                                    absl::Time not_after) = 0;

  // The authorities that peers must trust, DER.
  virtual absl::StatusOr<std::vector<std::string>> Roots() = 0;
};

}  // namespace countersign::control::ca

#endif  // COUNTERSIGN_CONTROL_CA_SIGNER_H_
