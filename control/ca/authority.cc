#include "control/ca/authority.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "control/ca/certificates.h"
#include "control/state/state_dir.h"

namespace countersign::control::ca {
namespace {

using countersign::identity::Refused;
using countersign::identity::v1::Refusal;

// Below this a certificate is of no use to anybody by the time that it arrives.
constexpr absl::Duration kLeastRemaining = absl::Seconds(1);

}  // namespace

absl::StatusOr<std::unique_ptr<Authority>> Authority::Open(Options options,
                                                           std::unique_ptr<Signer> signer) {
  std::unique_ptr<Authority> authority(new Authority(std::move(options), std::move(signer)));
  absl::StatusOr<std::vector<std::string>> roots = authority->signer_->Roots();
  if (!roots.ok()) return roots.status();
  authority->roots_der_ = *std::move(roots);
  absl::Status status = authority->LoadIntermediate();
  if (absl::IsNotFound(status)) status = authority->NewIntermediate();
  if (!status.ok()) return status;
  const absl::StatusOr<bool> renewed = authority->RenewIfDue();
  if (!renewed.ok()) return renewed.status();
  status = authority->WriteBundle();
  if (!status.ok()) return status;
  return authority;
}

absl::Status Authority::LoadIntermediate() {
  absl::StatusOr<std::string> pem = state::ReadPrivateFile(IntermediatePath());
  if (!pem.ok()) return pem.status();
  const auto unusable = [this](absl::string_view why) {
    return absl::FailedPreconditionError(
        absl::StrCat(IntermediatePath(), " cannot be used: ", why,
                     ". Restore it from a backup, or move it away and a new intermediate is made"));
  };
  PemContent content = ParsePem(*pem);
  OPENSSL_cleanse(pem->data(), pem->size());
  if (content.key == nullptr || content.certificates_der.empty()) {
    return unusable("it does not hold a private key and its certificate");
  }
  // Its certificate must chain to the root that peers have.
  const spiffe::X509Ptr top = ParseCertificate(content.certificates_der.back());
  const bool chains =
      top != nullptr && std::any_of(roots_der_.begin(), roots_der_.end(), [&](const auto& der) {
        const spiffe::X509Ptr root = ParseCertificate(der);
        return root != nullptr && X509_check_issued(root.get(), top.get()) == X509_V_OK &&
               X509_verify(top.get(), X509_get0_pubkey(root.get())) == 1;
      });
  ERR_clear_error();
  if (!chains) return unusable("it was not signed by the present root");
  absl::StatusOr<std::shared_ptr<const LeafIssuer>> issuer =
      LeafIssuer::Create(std::move(content.certificates_der), content.key.get());
  if (!issuer.ok()) return unusable(issuer.status().message());
  const std::lock_guard lock(mutex_);
  issuer_ = *std::move(issuer);
  return absl::OkStatus();
}

absl::Status Authority::NewIntermediate() {
  const spiffe::EvpPkeyPtr key = NewP256Key();
  if (key == nullptr) return absl::InternalError("OpenSSL could not make the intermediate's key");
  const absl::Time now = options_.now();
  absl::StatusOr<std::vector<std::string>> chain =
      signer_->SignIntermediate(key.get(), now - kBackDating, now + options_.intermediate_ttl);
  if (!chain.ok()) return chain.status();
  std::string pem = KeyToPem(key.get());
  for (const std::string& der : *chain) pem += CertificateToPem(der);
  absl::StatusOr<std::shared_ptr<const LeafIssuer>> issuer =
      LeafIssuer::Create(*std::move(chain), key.get());
  // On disk before the first leaf is signed with it.
  absl::Status status = issuer.status();
  if (status.ok()) status = state::WriteAtomically(IntermediatePath(), pem, 0600);
  OPENSSL_cleanse(pem.data(), pem.size());
  if (!status.ok()) return status;
  const std::lock_guard lock(mutex_);
  issuer_ = *std::move(issuer);
  return absl::OkStatus();
}

absl::StatusOr<bool> Authority::RenewIfDue() {
  const std::shared_ptr<const LeafIssuer> present = issuer();
  // Of the life that began when it was signed, not of the back-dated whole.
  const absl::Time signed_at = present->not_before() + kBackDating;
  if (options_.now() < signed_at + (present->not_after() - signed_at) / 2) return false;
  const absl::Status status = NewIntermediate();
  if (!status.ok()) return status;
  return true;
}

absl::Status Authority::WriteBundle() const {
  std::string pem;
  for (const std::string& der : roots_der_) pem += CertificateToPem(der);
  return state::WriteAtomically(options_.state_dir + "/bundle.pem", pem, 0644);
}

spiffe::BundleSet::Bundle Authority::bundle() const { return {options_.trust_domain, roots_der_}; }

std::vector<Authority::Expiry> Authority::Expiries() const {
  std::vector<Expiry> expiries;
  for (const std::string& der : roots_der_) {
    const spiffe::X509Ptr root = ParseCertificate(der);
    if (root != nullptr) expiries.push_back({"root", NotAfter(root.get())});
  }
  expiries.push_back({"intermediate", issuer()->not_after()});
  return expiries;
}

countersign::identity::OrRefused<Authority::Issued> Authority::Issue(const Request& request) const {
  Issued issued;
  issued.issuer = issuer();
  const absl::Time now = options_.now();
  LeafRequest leaf;
  leaf.id = request.id;
  leaf.public_key_info = request.public_key_info;
  leaf.dns_names = request.dns_names;
  // Certificates count in seconds: what is announced must be what is in them.
  leaf.not_before = absl::FromUnixSeconds(
      absl::ToUnixSeconds(std::max(now - kBackDating, issued.issuer->not_before())));
  leaf.not_after = absl::FromUnixSeconds(
      absl::ToUnixSeconds(std::min(now + request.ttl, issued.issuer->not_after())));
  if (leaf.not_after - now < std::min(kLeastRemaining, request.ttl / 2)) {
    return Refused{Refusal::AUTHORITY_UNAVAILABLE,
                   "the control plane's issuing authority has expired; look at the control plane's "
                   "log for why it could not be renewed",
                   absl::Seconds(10)};
  }
  absl::StatusOr<SignedLeaf> signed_leaf = issued.issuer->Issue(leaf);
  if (!signed_leaf.ok()) {
    return Refused{Refusal::INTERNAL, std::string(signed_leaf.status().message()),
                   absl::Seconds(5)};
  }
  issued.leaf = *std::move(signed_leaf);
  issued.not_before = leaf.not_before;
  issued.not_after = leaf.not_after;
  return issued;
}

}  // namespace countersign::control::ca
