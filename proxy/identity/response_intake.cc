#include "proxy/identity/response_intake.h"

#include <openssl/err.h>

#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "api/spiffe/verifier.h"

namespace countersign::identity {
namespace {

constexpr size_t kMaxCertificateBytes = 16 * 1024;

IntakeResult Reject(std::string label, std::string reason) {
  IntakeResult result;
  result.rejected_label = std::move(label);
  result.rejected_reason = std::move(reason);
  return result;
}

spiffe::X509Ptr ParseDer(const std::string& der) {
  if (der.size() > kMaxCertificateBytes) {
    return nullptr;
  }
  const auto* at = reinterpret_cast<const uint8_t*>(der.data());
  const uint8_t* end = at + der.size();
  spiffe::X509Ptr cert(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
  ERR_clear_error();
  return at == end ? std::move(cert) : nullptr;  // trailing bytes are not ours to ignore
}

absl::StatusOr<std::shared_ptr<const spiffe::DenyList>> ReadDenyList(const v1::DenyList& list) {
  auto made = std::make_shared<spiffe::DenyList>(list.epoch());
  for (const v1::DenyEntry& entry : list.entries()) {
    if (entry.has_serial()) {
      made->AddSerial(entry.serial().issuer(), entry.serial().serial());
    } else {
      absl::StatusOr<spiffe::SpiffeId> id = spiffe::SpiffeId::Parse(entry.spiffe_id());
      if (!id.ok()) {
        return id.status();
      }
      made->AddId(*id);
    }
  }
  return made;
}

absl::StatusOr<std::shared_ptr<const spiffe::BundleSet>> ReadBundles(
    const v1::TrustBundles& bundles) {
  std::vector<spiffe::BundleSet::Bundle> made;
  for (const v1::TrustBundle& bundle : bundles.bundles()) {
    spiffe::BundleSet::Bundle& copy = made.emplace_back();
    copy.trust_domain = bundle.trust_domain();
    copy.authorities_der.assign(bundle.authorities().begin(), bundle.authorities().end());
  }
  return spiffe::BundleSet::Create(bundles.epoch(), std::move(made));
}

struct FreeBorrowedStack {
  void operator()(STACK_OF(X509) * stack) const { sk_X509_free(stack); }
};

spiffe::VerifyError VerifyOwn(const SecretSnapshot& secret, absl::Time now,
                              spiffe::PeerSvid* svid) {
  std::unique_ptr<STACK_OF(X509), FreeBorrowedStack> untrusted(sk_X509_new_null());
  for (size_t i = 1; i < secret.chain.size(); ++i) {
    sk_X509_push(untrusted.get(), secret.chain[i].get());
  }
  return spiffe::Verify(secret.chain.front().get(), untrusted.get(), *secret.bundles,
                        *secret.deny_list, now, svid);
}

// Takes certificate and key over from `response`; the rest of `next` is filled in already.
IntakeResult TakeSvid(const v1::IssuedSvid& issued, const IntakeInput& input,
                      std::shared_ptr<SecretSnapshot> next) {
  if (input.key == nullptr) {
    return Reject("unasked_certificate", "it carries a certificate that nobody asked for");
  }
  if (issued.chain().empty() || issued.chain_size() > spiffe::kMaxChain) {
    return Reject("bad_chain_length",
                  absl::StrCat("its chain has ", issued.chain_size(), " certificates; 1 to ",
                               spiffe::kMaxChain, " are allowed"));
  }
  for (const std::string& der : issued.chain()) {
    spiffe::X509Ptr cert = ParseDer(der);
    if (cert == nullptr) {
      return Reject("malformed_certificate", "a certificate in its chain cannot be parsed");
    }
    next->chain.push_back(std::move(cert));
  }
  if (X509_check_private_key(next->chain.front().get(), input.key) != 1) {
    ERR_clear_error();
    return Reject("foreign_key", "its certificate is for another key than the one we asked with");
  }
  spiffe::PeerSvid svid;
  const spiffe::VerifyError error = VerifyOwn(*next, input.now, &svid);
  if (error != spiffe::VerifyError::kNone) {
    return Reject(spiffe::VerifyErrorLabel(error),
                  absl::StrCat("its certificate would be refused by every peer: ",
                               spiffe::VerifyErrorSentence(error)));
  }
  if (svid.id.ToString() != issued.spiffe_id()) {
    return Reject("inconsistent_id",
                  absl::StrCat("it says ", issued.spiffe_id(), " but its certificate says ",
                               svid.id.ToString()));
  }
  if (svid.id.trust_domain() != input.trust_domain) {
    return Reject("foreign_trust_domain",
                  absl::StrCat("its certificate is for ", svid.id.ToString(),
                               ", but this proxy belongs to trust domain ", input.trust_domain));
  }
  if (input.current != nullptr && !(svid.id == input.current->id)) {
    return Reject(
        "identity_changed",
        absl::StrCat("its certificate is for ", svid.id.ToString(), ", but this proxy is ",
                     input.current->id.ToString(), "; an identity needs a new process"));
  }
  EVP_PKEY_up_ref(input.key);
  next->key.reset(input.key);
  next->id = svid.id;
  next->not_before = svid.not_before;
  next->not_after = svid.not_after;
  IntakeResult result;
  result.next = std::move(next);
  return result;
}

}  // namespace

IntakeResult TakeResponse(const v1::IdentityResponse& response, const IntakeInput& input) {
  const bool changes =
      response.has_svid() || response.has_trust_bundles() || response.has_deny_list();
  if (!changes) {
    return {};
  }
  auto next = std::make_shared<SecretSnapshot>();
  next->generation = input.current != nullptr ? input.current->generation + 1 : 1;
  if (response.has_trust_bundles()) {
    absl::StatusOr<std::shared_ptr<const spiffe::BundleSet>> bundles =
        ReadBundles(response.trust_bundles());
    if (!bundles.ok()) {
      return Reject("malformed_bundle",
                    absl::StrCat("its trust bundles are not usable: ", bundles.status().message()));
    }
    if ((*bundles)->StoreFor(input.trust_domain) == nullptr) {
      return Reject("bundle_missing", absl::StrCat("its trust bundles lack our own trust domain ",
                                                   input.trust_domain));
    }
    next->bundles = *std::move(bundles);
  } else if (input.current != nullptr) {
    next->bundles = input.current->bundles;
  } else {
    return Reject("incomplete_state", "the first answer must carry the trust bundles");
  }
  if (response.has_deny_list()) {
    absl::StatusOr<std::shared_ptr<const spiffe::DenyList>> deny_list =
        ReadDenyList(response.deny_list());
    if (!deny_list.ok()) {
      return Reject("malformed_deny_list", absl::StrCat("its deny list holds an entry that is no "
                                                        "SPIFFE ID: ",
                                                        deny_list.status().message()));
    }
    next->deny_list = *std::move(deny_list);
  } else {
    next->deny_list = input.current != nullptr ? input.current->deny_list
                                               : std::make_shared<const spiffe::DenyList>();
  }
  if (response.has_svid()) {
    return TakeSvid(response.svid(), input, std::move(next));
  }
  if (input.current == nullptr) {
    return Reject("incomplete_state", "the first answer must carry a certificate");
  }
  for (const spiffe::X509Ptr& cert : input.current->chain) {
    X509_up_ref(cert.get());
    next->chain.emplace_back(cert.get());
  }
  EVP_PKEY_up_ref(input.current->key.get());
  next->key.reset(input.current->key.get());
  next->id = input.current->id;
  next->not_before = input.current->not_before;
  next->not_after = input.current->not_after;
  IntakeResult result;
  spiffe::PeerSvid svid;
  result.own_certificate_invalid = VerifyOwn(*next, input.now, &svid) != spiffe::VerifyError::kNone;
  result.next = std::move(next);
  return result;
}

}  // namespace countersign::identity
