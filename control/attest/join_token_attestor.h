// Attestation by join token, for machines outside Kubernetes and for the standalone mesh.
#ifndef COUNTERSIGN_CONTROL_ATTEST_JOIN_TOKEN_ATTESTOR_H_
#define COUNTERSIGN_CONTROL_ATTEST_JOIN_TOKEN_ATTESTOR_H_

#include "control/attest/attestor.h"
#include "control/attest/join_token_store.h"

namespace countersign::control::attest {

// Thread-safe. Borrows the store.
class JoinTokenAttestor : public Attestor {
 public:
  explicit JoinTokenAttestor(JoinTokenStore& store) : store_(store) {}

  countersign::identity::v1::Attestation::KindCase kind() const override {
    return countersign::identity::v1::Attestation::kJoinToken;
  }
  countersign::identity::OrRefused<Attested> Attest(const Evidence& evidence) override;
  std::vector<std::optional<countersign::identity::Refused>> Consume(
      std::span<const std::string> receipts) override;

 private:
  JoinTokenStore& store_;
};

}  // namespace countersign::control::attest

#endif  // COUNTERSIGN_CONTROL_ATTEST_JOIN_TOKEN_ATTESTOR_H_
