#include "control/attest/svid_attestor.h"

#include "absl/strings/str_cat.h"
#include "api/spiffe/pem_chain.h"

namespace countersign::control::attest {

using countersign::identity::Refused;
using countersign::identity::v1::Refusal;

countersign::identity::OrRefused<Attested> SvidAttestor::Attest(const Evidence& evidence) {
  const spiffe::TrustView trust = trust_.view();
  spiffe::PeerSvid svid;
  const spiffe::VerifyError error =
      spiffe::VerifyPem(evidence.peer_leaf_pem, evidence.peer_chain_pem, *trust.bundles,
                        *trust.deny_list, evidence.now, &svid);
  if (error == spiffe::VerifyError::kDenied) {
    return Refused{Refusal::IDENTITY_DENIED,
                   absl::StrCat(svid.id.ToString(),
                                " or its certificate is on the deny list (IdentityRevocation)")};
  }
  if (error != spiffe::VerifyError::kNone) {
    return Refused{Refusal::SVID_INVALID, spiffe::VerifyErrorSentence(error)};
  }
  if (svid.id.trust_domain() != trust_domain_) {
    return Refused{Refusal::SVID_INVALID,
                   absl::StrCat("this control plane issues for trust domain ", trust_domain_,
                                " and renews no certificate of another")};
  }
  return Attested{std::move(svid.id), {}};
}

}  // namespace countersign::control::attest
