// Certificate chains as gRPC hands them over: PEM, after a handshake that proved possession of the
// leaf's key.
#ifndef COUNTERSIGN_API_SPIFFE_PEM_CHAIN_H_
#define COUNTERSIGN_API_SPIFFE_PEM_CHAIN_H_

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "api/spiffe/trust.h"
#include "api/spiffe/verifier.h"

namespace countersign::spiffe {

// Verify() for a peer of a gRPC connection: `leaf_pem` is the property `x509_pem_cert`, `chain_pem`
// `x509_pem_cert_chain` (which has the leaf in it or not, as the side and the TLS library go).
// An empty `leaf_pem` is kNoCertificate. Any thread.
VerifyError VerifyPem(absl::string_view leaf_pem, absl::string_view chain_pem,
                      const BundleSet& bundles, const DenyList& deny_list, absl::Time now,
                      PeerSvid* svid);

}  // namespace countersign::spiffe

#endif  // COUNTERSIGN_API_SPIFFE_PEM_CHAIN_H_
