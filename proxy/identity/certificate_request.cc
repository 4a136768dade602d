#include "proxy/identity/certificate_request.h"

#include <openssl/ec.h>
#include <openssl/err.h>

namespace countersign::identity {

absl::StatusOr<CertificateRequest> NewCertificateRequest() {
  CertificateRequest made;
  made.key.reset(EVP_EC_gen("P-256"));
  spiffe::X509ReqPtr request(X509_REQ_new());
  if (made.key == nullptr || request == nullptr ||
      X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) != 1 ||
      X509_REQ_set_pubkey(request.get(), made.key.get()) != 1 ||
      X509_REQ_sign(request.get(), made.key.get(), EVP_sha256()) <= 0) {
    ERR_clear_error();
    return absl::InternalError("OpenSSL could not make a P-256 key and certificate request");
  }
  uint8_t* der = nullptr;
  const int size = i2d_X509_REQ(request.get(), &der);
  if (size <= 0) {
    ERR_clear_error();
    return absl::InternalError("OpenSSL could not encode the certificate request");
  }
  made.csr.assign(reinterpret_cast<const char*>(der), size);
  OPENSSL_free(der);
  return made;
}

}  // namespace countersign::identity
