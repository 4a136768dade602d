// Keys and certificate requests, made in this process.
#ifndef COUNTERSIGN_PROXY_IDENTITY_CERTIFICATE_REQUEST_H_
#define COUNTERSIGN_PROXY_IDENTITY_CERTIFICATE_REQUEST_H_

#include <string>

#include "absl/status/statusor.h"
#include "api/spiffe/openssl_ptr.h"

namespace countersign::identity {

struct CertificateRequest {
  spiffe::EvpPkeyPtr key;  // ECDSA P-256, fresh
  std::string csr;         // PKCS#10, DER, signed with `key`
};

// The request names nobody: the control plane takes the SPIFFE ID from the attestation alone.
// Error: Internal, when OpenSSL cannot make a key (no entropy, no memory).
absl::StatusOr<CertificateRequest> NewCertificateRequest();

}  // namespace countersign::identity

#endif  // COUNTERSIGN_PROXY_IDENTITY_CERTIFICATE_REQUEST_H_
