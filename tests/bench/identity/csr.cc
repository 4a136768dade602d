#include "tests/bench/identity/csr.h"

#include <openssl/evp.h>
#include <openssl/x509.h>

#include <cstdio>
#include <cstdlib>

#include "api/spiffe/openssl_ptr.h"

namespace countersign::bench {

std::string MakeCsr() {
  const spiffe::EvpPkeyPtr key(EVP_EC_gen("P-256"));
  const spiffe::X509ReqPtr request(X509_REQ_new());
  if (key == nullptr || request == nullptr || X509_REQ_set_version(request.get(), 0) != 1 ||
      X509_REQ_set_pubkey(request.get(), key.get()) != 1 ||
      X509_REQ_sign(request.get(), key.get(), EVP_sha256()) <= 0) {
    fputs("OpenSSL makes no certificate request\n", stderr);
    exit(1);
  }
  unsigned char* der = nullptr;
  const int size = i2d_X509_REQ(request.get(), &der);
  std::string result(reinterpret_cast<const char*>(der), static_cast<size_t>(size));
  OPENSSL_free(der);
  return result;
}

}  // namespace countersign::bench
