#include "api/spiffe/pem_certificates.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <utility>

namespace countersign::spiffe {

PemCertificates ReadPemCertificates(absl::string_view pem) {
  PemCertificates read;
  const BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  while (X509Ptr certificate{PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)}) {
    read.certificates.push_back(std::move(certificate));
  }
  read.damaged = ERR_GET_REASON(ERR_peek_last_error()) != PEM_R_NO_START_LINE;
  ERR_clear_error();
  return read;
}

}  // namespace countersign::spiffe
