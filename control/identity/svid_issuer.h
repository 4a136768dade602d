// Evidence and a CSR in, an SVID or a typed refusal out.
#ifndef COUNTERSIGN_CONTROL_IDENTITY_SVID_ISSUER_H_
#define COUNTERSIGN_CONTROL_IDENTITY_SVID_ISSUER_H_

#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "absl/functional/function_ref.h"
#include "api/identity/v1/identity.pb.h"
#include "api/spiffe/trust_store.h"
#include "control/attest/attestor.h"
#include "control/ca/authority.h"
#include "control/identity/issuance_policy.h"

namespace countersign::control::identity {

// IDs below this path are the control plane's own and are issued to nobody else.
inline constexpr absl::string_view kReservedPath = "/countersign/";

// An SVID in force at a proxy.
struct Svid {
  spiffe::SpiffeId id;
  std::string issuer;  // DER of the Name
  std::string serial;
  absl::Time not_after;
};

// The first request of a stream, with the client certificate of the connection below, if there is
// one. Borrowed for one call.
struct Newcomer {
  const countersign::identity::v1::IdentityRequest& request;
  absl::string_view peer_leaf_pem;
  absl::string_view peer_chain_pem;
};

struct Granted {
  Svid svid;
  countersign::identity::v1::IssuedSvid message;
};

// Thread-safe; signing takes the time of a signature, attestation may wait for the disk.
class SvidIssuer {
 public:
  struct Options {
    const ca::Authority& authority;
    const spiffe::TrustStore& trust;
    std::string trust_domain;
    std::vector<std::unique_ptr<attest::Attestor>> attestors;
    std::function<absl::Time()> now = [] { return absl::Now(); };
  };

  explicit SvidIssuer(Options options) : options_(std::move(options)) {}

  void SetPolicy(const IssuancePolicy& policy);

  using Answer = absl::FunctionRef<void(size_t index, countersign::identity::OrRefused<Granted>)>;

  // First requests of streams: the SPIFFE IDs come from the evidence. Each is answered exactly once
  // before this returns, as soon as it can be: those that are refused at once, the others after
  // their evidence has been used up on disk, for which they wait together.
  void Attest(std::span<const Newcomer> newcomers, Answer answer);

  // A later request: the ID stays, and `last` must still be valid and not denied.
  countersign::identity::OrRefused<Granted> Renew(
      const countersign::identity::v1::IdentityRequest& request, const Svid& last);

 private:
  // A newcomer that is to get a certificate once its evidence is used up.
  struct Candidate {
    size_t index;
    attest::Attestor* attestor;
    spiffe::SpiffeId id;
    std::string receipt;
    // Into the request.
    absl::string_view public_key_info;
    absl::Duration ttl;
  };

  countersign::identity::OrRefused<Candidate> Check(const Newcomer& newcomer);
  countersign::identity::OrRefused<absl::Duration> ChooseTtl(
      const countersign::identity::v1::IdentityRequest& request) const;
  countersign::identity::OrRefused<Granted> Sign(const spiffe::SpiffeId& id,
                                                 absl::string_view public_key_info,
                                                 absl::Duration ttl) const;

  const Options options_;
  mutable std::mutex mutex_;
  IssuancePolicy policy_;
};

}  // namespace countersign::control::identity

#endif  // COUNTERSIGN_CONTROL_IDENTITY_SVID_ISSUER_H_
