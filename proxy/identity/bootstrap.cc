#include "proxy/identity/bootstrap.h"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "api/spiffe/pem_certificates.h"

namespace countersign::identity {
namespace {

constexpr size_t kMaxBundleBytes = 1 << 20;
constexpr size_t kMaxTokenBytes = 4096;

// Straight from the file descriptor: no stdio buffer keeps a copy of a secret.
absl::StatusOr<std::string> ReadSmallFile(const std::string& path, size_t limit) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) {
    return absl::NotFoundError(absl::StrCat(path, ": ", strerror(errno)));
  }
  std::string content(limit + 1, '\0');
  size_t size = 0;
  ssize_t n = 0;
  while (size < content.size() &&
         ((n = read(fd, content.data() + size, content.size() - size)) > 0 ||
          (n < 0 && errno == EINTR))) {
    size += n > 0 ? n : 0;
  }
  const int error = errno;
  close(fd);
  if (n < 0 || size > limit) {
    OPENSSL_cleanse(content.data(), content.size());
    return n < 0 ? absl::UnavailableError(absl::StrCat(path, ": ", strerror(error)))
                 : absl::InvalidArgumentError(
                       absl::StrCat(path, " is larger than ", limit, " bytes"));
  }
  content.resize(size);
  return content;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const spiffe::BundleSet>> ReadTrustBundle(
    const std::string& path, const std::string& trust_domain) {
  absl::StatusOr<std::string> pem = ReadSmallFile(path, kMaxBundleBytes);
  if (!pem.ok()) {
    return absl::Status(pem.status().code(),
                        absl::StrCat("cannot read the trust bundle: ", pem.status().message(),
                                     "; --trust-bundle names the PEM file that the control plane "
                                     "writes into its state folder (bundle.pem)"));
  }
  spiffe::BundleSet::Bundle bundle;
  bundle.trust_domain = trust_domain;
  const spiffe::PemCertificates read = spiffe::ReadPemCertificates(*pem);
  for (const spiffe::X509Ptr& certificate : read.certificates) {
    uint8_t* der = nullptr;
    const int size = i2d_X509(certificate.get(), &der);
    if (size > 0) {
      bundle.authorities_der.emplace_back(reinterpret_cast<const char*>(der), size);
      OPENSSL_free(der);
    }
  }
  if (read.damaged || bundle.authorities_der.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the trust bundle ", path,
                     bundle.authorities_der.empty() ? " holds no PEM certificate" : " is damaged",
                     "; copy bundle.pem from the control plane's state folder again"));
  }
  std::vector<spiffe::BundleSet::Bundle> bundles;
  bundles.push_back(std::move(bundle));
  absl::StatusOr<std::shared_ptr<const spiffe::BundleSet>> set =
      spiffe::BundleSet::Create(0, std::move(bundles));
  if (!set.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the trust bundle ", path, ": ", set.status().message()));
  }
  return set;
}

absl::StatusOr<std::string> ReadJoinToken(const std::string& path) {
  absl::StatusOr<std::string> content = ReadSmallFile(path, kMaxTokenBytes);
  if (!content.ok()) {
    return absl::Status(content.status().code(),
                        absl::StrCat("cannot read the join token: ", content.status().message()));
  }
  std::string token(absl::StripAsciiWhitespace(*content));
  OPENSSL_cleanse(content->data(), content->size());
  if (token.empty()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the join token file ", path,
                     " is empty; `countersign-control token create` prints a token"));
  }
  return token;
}

}  // namespace countersign::identity
