#include "control/ca/own_root.h"

#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>

#include "absl/strings/str_cat.h"
#include "api/spiffe/spiffe_id.h"
#include "control/ca/certificates.h"
#include "control/state/state_dir.h"

namespace countersign::control::ca {
namespace {

constexpr char kRootFile[] = "/root.pem";
constexpr char kRootKeyFile[] = "/root-key.pem";

absl::Status CreateRoot(const OwnRoot::Options& options, const std::string& dir) {
  const std::string unfinished = dir + ".new";
  // What a crash left behind was never in use: only the rename below puts a root into force.
  std::error_code error;
  std::filesystem::remove_all(unfinished, error);
  absl::Status status = state::OpenPrivateDir(unfinished);
  if (!status.ok()) return status;
  const spiffe::EvpPkeyPtr key = NewP256Key();
  if (key == nullptr) return absl::InternalError("OpenSSL could not make the root's key");
  CaTemplate root;
  root.trust_domain = options.trust_domain;
  root.title = "Countersign root";
  root.path_length = 1;
  root.not_before = options.now - absl::Seconds(30);
  root.not_after = options.now + options.ttl;
  absl::StatusOr<std::string> der = MakeCaCertificate(root, key.get(), nullptr, key.get());
  if (!der.ok()) return der.status();
  status = state::WriteAtomically(unfinished + kRootKeyFile, KeyToPem(key.get()), 0600);
  if (status.ok()) {
    status = state::WriteAtomically(unfinished + kRootFile, CertificateToPem(*der), 0600);
  }
  if (!status.ok()) return status;
  if (std::rename(unfinished.c_str(), dir.c_str()) != 0) {
    return absl::InternalError(
        absl::StrCat("cannot put the new root into force at ", dir, ": ", std::strerror(errno)));
  }
  return state::SyncDir(options.state_dir);
}

// The trust domain in an authority's URI name.
std::string TrustDomainOf(X509* certificate) {
  auto* names = static_cast<GENERAL_NAMES*>(
      X509_get_ext_d2i(certificate, NID_subject_alt_name, nullptr, nullptr));
  std::string result;
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type != GEN_URI) continue;
    const ASN1_IA5STRING* uri = name->d.uniformResourceIdentifier;
    absl::StatusOr<spiffe::SpiffeId> id = spiffe::SpiffeId::Parse(
        absl::string_view(reinterpret_cast<const char*>(ASN1_STRING_get0_data(uri)),
                          static_cast<size_t>(ASN1_STRING_length(uri))));
    if (id.ok()) result = std::string(id->trust_domain());
  }
  GENERAL_NAMES_free(names);
  return result;
}

}  // namespace

absl::StatusOr<std::unique_ptr<OwnRoot>> OwnRoot::Open(const Options& options) {
  const std::string dir = options.state_dir + "/ca";
  struct stat info;
  if (lstat(dir.c_str(), &info) != 0) {
    if (errno != ENOENT) {
      return absl::InternalError(absl::StrCat("cannot look at ", dir, ": ", std::strerror(errno)));
    }
    const absl::Status status = CreateRoot(options, dir);
    if (!status.ok()) return status;
  }
  absl::Status status = state::OpenPrivateDir(dir);
  if (!status.ok()) return status;
  absl::StatusOr<std::string> pem = state::ReadPrivateFile(dir + kRootFile);
  if (pem.ok() && lstat((dir + kRootKeyFile).c_str(), &info) != 0) {
    pem = absl::NotFoundError(absl::StrCat("there is no ", dir, kRootKeyFile));
  }
  if (absl::IsNotFound(pem.status())) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the authority's state is incomplete: ", pem.status().message(), ". Restore ", dir,
        " from a backup; only if the mesh may lose its root, move the folder away and start "
        "again"));
  }
  if (!pem.ok()) return pem.status();
  if (S_ISREG(info.st_mode) == 0 && S_ISDIR(info.st_mode) == 0) {
    return absl::FailedPreconditionError(absl::StrCat(dir, kRootKeyFile, " is no plain file"));
  }
  PemContent content = ParsePem(*pem);
  if (content.certificates_der.size() != 1) {
    return absl::FailedPreconditionError(absl::StrCat(
        dir, kRootFile, " does not hold exactly one certificate; restore it from a backup"));
  }
  const spiffe::X509Ptr root = ParseCertificate(content.certificates_der[0]);
  if (root == nullptr || X509_check_ca(root.get()) != 1) {
    return absl::FailedPreconditionError(
        absl::StrCat(dir, kRootFile, " is no CA certificate; restore it from a backup"));
  }
  const std::string trust_domain = TrustDomainOf(root.get());
  if (trust_domain != options.trust_domain) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the root in ", dir, " is that of trust domain \"", trust_domain,
        "\", but the configuration says \"", options.trust_domain,
        "\"; set Mesh.spec.trustDomain back, or use another --state-dir for the new domain"));
  }
  return std::unique_ptr<OwnRoot>(new OwnRoot(options, content.certificates_der[0]));
}

absl::StatusOr<std::vector<std::string>> OwnRoot::SignIntermediate(EVP_PKEY* key,
                                                                   absl::Time not_before,
                                                                   absl::Time not_after) {
  const spiffe::X509Ptr root = ParseCertificate(root_der_);
  absl::StatusOr<std::string> pem = state::ReadPrivateFile(dir_ + kRootKeyFile);
  if (!pem.ok()) return pem.status();
  const PemContent content = ParsePem(*pem);
  OPENSSL_cleanse(pem->data(), pem->size());
  if (content.key == nullptr || X509_check_private_key(root.get(), content.key.get()) != 1) {
    return absl::FailedPreconditionError(absl::StrCat(dir_, kRootKeyFile, " is not the key of ",
                                                      dir_, kRootFile,
                                                      "; restore both from a backup"));
  }
  CaTemplate intermediate;
  intermediate.trust_domain = trust_domain_;
  intermediate.title = "Countersign intermediate";
  intermediate.path_length = 0;
  intermediate.not_before = std::max(not_before, NotBefore(root.get()));
  intermediate.not_after = std::min(not_after, NotAfter(root.get()));
  if (intermediate.not_after <= not_before) {
    return absl::FailedPreconditionError(
        absl::StrCat("the root authority in ", dir_, " expired on ",
                     absl::FormatTime(NotAfter(root.get())), "; it must be replaced"));
  }
  absl::StatusOr<std::string> der =
      MakeCaCertificate(intermediate, key, root.get(), content.key.get());
  if (!der.ok()) return der.status();
  return std::vector<std::string>{*std::move(der)};
}

}  // namespace countersign::control::ca
