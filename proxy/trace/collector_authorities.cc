#include "proxy/trace/collector_authorities.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "api/spiffe/openssl_ptr.h"

namespace countersign::trace {
namespace {

constexpr char kCure[] =
    "; --otlp-ca-file names a PEM file with the certificates of the authorities that the "
    "collector's certificate chains to";

// How many certificates the text holds; -1 when one of them cannot be read.
int CountCertificates(const std::string& pem) {
  const spiffe::BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  int count = 0;
  while (spiffe::X509Ptr(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr)) != nullptr) {
    ++count;
  }
  const bool at_end = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  return at_end ? count : -1;
}

}  // namespace

absl::StatusOr<std::string> ReadAuthorities(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return absl::NotFoundError(absl::StrCat("cannot read ", path, ": ", strerror(errno), kCure));
  }
  std::string pem{std::istreambuf_iterator<char>(file), {}};
  const int count = CountCertificates(pem);
  if (count <= 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, count == 0 ? " holds no certificate" : " holds a damaged certificate", kCure));
  }
  return pem;
}

}  // namespace countersign::trace
