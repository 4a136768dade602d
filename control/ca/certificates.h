// Making and reading authority certificates and their PEM files; nothing here is on the path of a
// leaf.
#ifndef COUNTERSIGN_CONTROL_CA_CERTIFICATES_H_
#define COUNTERSIGN_CONTROL_CA_CERTIFICATES_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "api/spiffe/openssl_ptr.h"

namespace countersign::control::ca {

struct CaTemplate {
  std::string trust_domain;
  // Of the common name, after which eight hexadecimal digits tell two of a kind apart.
  std::string title;
  int path_length = 0;
  absl::Time not_before;
  absl::Time not_after;
};

// A new ECDSA P-256 key; null when OpenSSL fails.
spiffe::EvpPkeyPtr NewP256Key();

// A CA certificate for `key`, DER. Self-signed when `issuer` is null.
absl::StatusOr<std::string> MakeCaCertificate(const CaTemplate& options, EVP_PKEY* key,
                                              X509* issuer, EVP_PKEY* issuer_key);

spiffe::X509Ptr ParseCertificate(absl::string_view der);
absl::Time NotBefore(const X509* certificate);
absl::Time NotAfter(const X509* certificate);

std::string KeyToPem(EVP_PKEY* key);
std::string CertificateToPem(absl::string_view der);

// What a PEM file may hold: at most one private key, and certificates in order, DER.
struct PemContent {
  spiffe::EvpPkeyPtr key;
  std::vector<std::string> certificates_der;
};
PemContent ParsePem(absl::string_view pem);

}  // namespace countersign::control::ca

#endif  // COUNTERSIGN_CONTROL_CA_CERTIFICATES_H_
