// What the proxy is given at birth: the trust bundle of its control plane and a join token.
#ifndef COUNTERSIGN_PROXY_IDENTITY_BOOTSTRAP_H_
#define COUNTERSIGN_PROXY_IDENTITY_BOOTSTRAP_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "api/spiffe/trust.h"

namespace countersign::identity {

// Reads PEM certificates. Errors name the file and what to do. At most 1 MiB.
absl::StatusOr<std::shared_ptr<const spiffe::BundleSet>> ReadTrustBundle(
    const std::string& path, const std::string& trust_domain);

// The token without surrounding white space; the caller wipes it after use. At most 4 KiB.
absl::StatusOr<std::string> ReadJoinToken(const std::string& path);

}  // namespace countersign::identity

#endif  // COUNTERSIGN_PROXY_IDENTITY_BOOTSTRAP_H_
