// Certification requests for tests: good ones and any bad one.
#ifndef COUNTERSIGN_CONTROL_CA_TESTING_TEST_CSR_H_
#define COUNTERSIGN_CONTROL_CA_TESTING_TEST_CSR_H_

#include <string>
#include <vector>

#include "api/spiffe/openssl_ptr.h"

namespace countersign::control::ca::testing {

struct CsrOptions {
  // P-256, P-384, P-521 or secp256k1; "RSA" for RSA with 2048 bits; "Ed25519".
  std::string key = "P-256";
  std::string common_name;
  // As in an OpenSSL configuration: {"subjectAltName", "URI:spiffe://a/b"}.
  std::vector<std::pair<std::string, std::string>> extensions;
  bool challenge_password = false;
  // 256, 384 or 512.
  int sha = 256;
};

struct TestCsr {
  std::string der;
  spiffe::EvpPkeyPtr key;
};
TestCsr MakeCsr(const CsrOptions& options = {});

}  // namespace countersign::control::ca::testing

#endif  // COUNTERSIGN_CONTROL_CA_TESTING_TEST_CSR_H_
