#include "api/spiffe/trust.h"

#include <openssl/err.h>
#include <openssl/x509v3.h>

#include "absl/strings/str_cat.h"

namespace countersign::spiffe {
namespace {

absl::StatusOr<X509Ptr> ParseAuthority(absl::string_view trust_domain, absl::string_view der) {
  const auto* cursor = reinterpret_cast<const unsigned char*>(der.data());
  const unsigned char* const end = cursor + der.size();
  X509Ptr certificate(d2i_X509(nullptr, &cursor, static_cast<long>(der.size())));
  ERR_clear_error();
  if (certificate == nullptr || cursor != end) {
    return absl::InvalidArgumentError(
        absl::StrCat("an authority of trust domain ", trust_domain,
                     " is not one X.509 certificate in DER; replace it in the bundle"));
  }
  // 1 is "has basicConstraints with cA"; the other values are guesses for old certificates.
  if (X509_check_ca(certificate.get()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError(
        absl::StrCat("an authority of trust domain ", trust_domain,
                     " is no CA certificate (cA=true and keyCertSign); replace it in the bundle"));
  }
  return certificate;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const BundleSet>> BundleSet::Create(uint64_t epoch,
                                                                   std::vector<Bundle> bundles) {
  std::shared_ptr<BundleSet> set(new BundleSet);
  set->epoch_ = epoch;
  for (const Bundle& bundle : bundles) {
    absl::Status status = CheckTrustDomain(bundle.trust_domain);
    if (!status.ok()) return status;
    Anchors& anchors = set->anchors_[bundle.trust_domain];
    if (anchors.store != nullptr) {
      return absl::InvalidArgumentError(
          absl::StrCat("trust domain ", bundle.trust_domain, " stands twice in the bundles"));
    }
    anchors.store.reset(X509_STORE_new());
    anchors.stack.reset(sk_X509_new_null());
    absl::flat_hash_set<absl::string_view> seen;
    for (const std::string& der : bundle.authorities_der) {
      if (!seen.insert(der).second) {
        return absl::InvalidArgumentError(absl::StrCat(
            "an authority stands twice in the bundle of trust domain ", bundle.trust_domain));
      }
      absl::StatusOr<X509Ptr> authority = ParseAuthority(bundle.trust_domain, der);
      if (!authority.ok()) return authority.status();
      X509_STORE_add_cert(anchors.store.get(), authority->get());
      sk_X509_push(anchors.stack.get(), authority->release());
    }
  }
  set->bundles_ = std::move(bundles);
  return std::shared_ptr<const BundleSet>(std::move(set));
}

const BundleSet::Anchors* BundleSet::Find(absl::string_view trust_domain) const {
  auto it = anchors_.find(trust_domain);
  return it == anchors_.end() ? nullptr : &it->second;
}

X509_STORE* BundleSet::StoreFor(absl::string_view trust_domain) const {
  const Anchors* anchors = Find(trust_domain);
  return anchors == nullptr ? nullptr : anchors->store.get();
}

STACK_OF(X509) * BundleSet::AnchorsFor(absl::string_view trust_domain) const {
  const Anchors* anchors = Find(trust_domain);
  return anchors == nullptr ? nullptr : anchors->stack.get();
}

bool DenyList::Denies(const SpiffeId& id, absl::string_view issuer,
                      absl::string_view serial) const {
  if (!ids_.empty() && ids_.contains(id.ToString())) return true;
  return !serials_.empty() &&
         serials_.contains(std::make_pair(std::string(issuer), std::string(serial)));
}

}  // namespace countersign::spiffe
