// Certificates in text that an operator has written down.
#ifndef COUNTERSIGN_API_SPIFFE_PEM_CERTIFICATES_H_
#define COUNTERSIGN_API_SPIFFE_PEM_CERTIFICATES_H_

#include <vector>

#include "absl/strings/string_view.h"
#include "api/spiffe/openssl_ptr.h"

namespace countersign::spiffe {

struct PemCertificates {
  std::vector<X509Ptr> certificates;  // in the text's order
  bool damaged = false;               // reading stopped at one that is none
};

// What stands between and after the certificates (RFC 7468, section 2) is passed over. Any thread.
PemCertificates ReadPemCertificates(absl::string_view pem);

}  // namespace countersign::spiffe

#endif  // COUNTERSIGN_API_SPIFFE_PEM_CERTIFICATES_H_
