// Attestation by the previous SVID: the client certificate of the TLS connection itself.
#ifndef COUNTERSIGN_CONTROL_ATTEST_SVID_ATTESTOR_H_
#define COUNTERSIGN_CONTROL_ATTEST_SVID_ATTESTOR_H_

#include <string>

#include "api/spiffe/trust_store.h"
#include "control/attest/attestor.h"

namespace countersign::control::attest {

// Only our own trust domain's SVIDs attest: another domain's authority may vouch for its workloads,
// but never make us issue. A denied identity or certificate is refused. Thread-safe.
class SvidAttestor : public Attestor {
 public:
  SvidAttestor(std::string trust_domain, const spiffe::TrustStore& trust)
      : trust_domain_(std::move(trust_domain)), trust_(trust) {}

  countersign::identity::v1::Attestation::KindCase kind() const override {
    return countersign::identity::v1::Attestation::kSvid;
  }
  countersign::identity::OrRefused<Attested> Attest(const Evidence& evidence) override;

 private:
  const std::string trust_domain_;
  const spiffe::TrustStore& trust_;
};

}  // namespace countersign::control::attest

#endif  // COUNTERSIGN_CONTROL_ATTEST_SVID_ATTESTOR_H_
