// One issuing certificate and its key, ready to sign leaves.
#ifndef COUNTERSIGN_CONTROL_CA_LEAF_ISSUER_H_
#define COUNTERSIGN_CONTROL_CA_LEAF_ISSUER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "api/spiffe/openssl_ptr.h"
#include "api/spiffe/spiffe_id.h"
#include "control/ca/ecdsa.h"

namespace countersign::control::ca {

struct LeafRequest {
  spiffe::SpiffeId id;
  // SubjectPublicKeyInfo, DER, checked. Borrowed.
  absl::string_view public_key_info;
  absl::Time not_before;
  absl::Time not_after;
  // Beside the URI; the control plane's own certificate has one, a workload's none.
  std::vector<std::string> dns_names;
};

struct SignedLeaf {
  std::string der;
  // Big-endian, no leading zero.
  std::string serial;
};

// Immutable and shared between threads; lives as long as anybody still issues from it. Whatever is
// constant in a certificate is encoded once, the rest is written around it: an OpenSSL X509 object
// per leaf would cost more than its signature.
class LeafIssuer {
 public:
  // `chain_der`: the issuer's own certificate first, never the root. `key` must be P-256 and belong
  // to it.
  static absl::StatusOr<std::shared_ptr<const LeafIssuer>> Create(
      std::vector<std::string> chain_der, EVP_PKEY* key);

  // One signature. The leaf has been read back and compared with the request, field by field.
  // Internal on failure.
  absl::StatusOr<SignedLeaf> Issue(const LeafRequest& request) const;

  const std::vector<std::string>& chain_der() const { return chain_der_; }
  // DER of the Name that leaves carry as their issuer.
  const std::string& name() const { return issuer_name_; }
  absl::Time not_before() const { return not_before_; }
  absl::Time not_after() const { return not_after_; }

 private:
  LeafIssuer() = default;
  bool Describes(const SignedLeaf& leaf, const LeafRequest& request) const;

  std::vector<std::string> chain_der_;
  EcKeyPtr key_;
  absl::Time not_before_;
  absl::Time not_after_;
  std::string issuer_name_;
  // basicConstraints, keyUsage, extKeyUsage and authorityKeyIdentifier, encoded.
  std::string extensions_;
};

}  // namespace countersign::control::ca

#endif  // COUNTERSIGN_CONTROL_CA_LEAF_ISSUER_H_
