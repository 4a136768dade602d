// Certificates for tests: authorities in memory that issue valid SVIDs and any malformed one.
#ifndef COUNTERSIGN_API_SPIFFE_TESTING_TEST_AUTHORITY_H_
#define COUNTERSIGN_API_SPIFFE_TESTING_TEST_AUTHORITY_H_

#include <openssl/x509v3.h>

#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "api/spiffe/openssl_ptr.h"
#include "api/spiffe/trust.h"

namespace countersign::spiffe::testing {

// A new ECDSA P-256 key.
EvpPkeyPtr NewKey();
std::string KeyToPem(EVP_PKEY* key);
std::string CertificateToPem(X509* certificate);
std::string CertificateToDer(X509* certificate);
X509Ptr CertificateFromDer(absl::string_view der);

// What a leaf shall be. The defaults make a valid SVID once `uris` has one SPIFFE ID in it.
struct LeafOptions {
  // Subject alternative names, byte for byte: NUL and the like are kept.
  std::vector<std::string> uris;
  std::vector<std::string> dns_names;
  std::vector<std::string> emails;
  // An otherName (UTF8String) when not empty.
  std::string other_name;
  bool san_critical = true;
  // The subject stays empty when this is.
  std::string common_name;

  bool is_ca = false;
  // KU_DIGITAL_SIGNATURE, KU_KEY_CERT_SIGN, ...; 0 leaves the extension out.
  int key_usage = KU_DIGITAL_SIGNATURE;
  bool key_usage_critical = true;
  // NIDs; empty leaves the extension out.
  std::vector<int> extended_key_usage = {NID_server_auth, NID_client_auth};
  // An extension that nobody knows, marked critical.
  bool unknown_critical_extension = false;

  absl::Time not_before = absl::Now() - absl::Seconds(30);
  absl::Time not_after = absl::Now() + absl::Hours(1);
  // For this key's owner; a new key when null. Borrowed.
  EVP_PKEY* key = nullptr;
};

struct IssuedLeaf {
  X509Ptr certificate;
  EvpPkeyPtr key;
  // Leaf first, then the intermediates, never the root.
  std::vector<std::string> chain_der;
  std::string chain_pem;
  std::string key_pem;
};

struct AuthorityOptions {
  absl::Time not_before = absl::Now() - absl::Hours(1);
  absl::Time not_after = absl::Now() + absl::Hours(24 * 365);
  bool is_ca = true;
  int key_usage = KU_KEY_CERT_SIGN | KU_CRL_SIGN;
  // Of basicConstraints; negative: none.
  int path_length = -1;
};

// Not thread-safe; lives as long as its owner.
class TestAuthority {
 public:
  // A self-signed root. The trust domain stands in its URI SAN.
  explicit TestAuthority(const std::string& trust_domain, const AuthorityOptions& options = {});

  TestAuthority Intermediate(const AuthorityOptions& options = {}) const;

  IssuedLeaf Issue(const LeafOptions& options) const;
  // A valid SVID for this ID.
  IssuedLeaf Issue(const std::string& spiffe_id) const;

  const std::string& trust_domain() const { return trust_domain_; }
  X509* certificate() const { return certificate_.get(); }
  EVP_PKEY* key() const { return key_.get(); }
  const std::string& root_der() const { return root_der_; }
  std::string root_pem() const;
  BundleSet::Bundle bundle() const { return {trust_domain_, {root_der_}}; }
  // A set with this trust domain's root alone.
  std::shared_ptr<const BundleSet> bundles(uint64_t epoch = 1) const;

 private:
  TestAuthority() = default;

  std::string trust_domain_;
  X509Ptr certificate_;
  EvpPkeyPtr key_;
  std::string root_der_;
  // This authority's certificate first, up to but without the root.
  std::vector<std::string> chain_der_;
};

}  // namespace countersign::spiffe::testing

#endif  // COUNTERSIGN_API_SPIFFE_TESTING_TEST_AUTHORITY_H_
