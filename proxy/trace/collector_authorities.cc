#include "proxy/trace/collector_authorities.h"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>

#include "absl/strings/str_cat.h"
#include "api/spiffe/pem_certificates.h"

namespace countersign::trace {
namespace {

constexpr char kCure[] =
    "; --otlp-ca-file names a PEM file with the certificates of the authorities that the "
    "collector's certificate chains to";

}  // namespace

absl::StatusOr<std::string> ReadAuthorities(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return absl::NotFoundError(absl::StrCat("cannot read ", path, ": ", strerror(errno), kCure));
  }
  std::string pem{std::istreambuf_iterator<char>(file), {}};
  const spiffe::PemCertificates read = spiffe::ReadPemCertificates(pem);
  if (read.damaged || read.certificates.empty()) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, read.damaged ? " holds a damaged certificate" : " holds no certificate", kCure));
  }
  return pem;
}

}  // namespace countersign::trace
