// The certificate authority: keeps the online intermediate, issues leaves from it.
#ifndef COUNTERSIGN_CONTROL_CA_AUTHORITY_H_
#define COUNTERSIGN_CONTROL_CA_AUTHORITY_H_

#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "api/identity/refusal.h"
#include "api/spiffe/spiffe_id.h"
#include "api/spiffe/trust.h"
#include "control/ca/leaf_issuer.h"
#include "control/ca/signer.h"

namespace countersign::control::ca {

// How far notBefore lies in the past, for peers whose clocks are slow.
inline constexpr absl::Duration kBackDating = absl::Seconds(30);

// Issue() and the getters: any thread. RenewIfDue(): one thread at a time. Lives as long as the
// server.
class Authority {
 public:
  struct Options {
    std::string state_dir;
    std::string trust_domain;
    absl::Duration intermediate_ttl = absl::Hours(24 * 30);
    // Tests simulate it.
    std::function<absl::Time()> now = [] { return absl::Now(); };
  };

  // Reads `ca/intermediate.pem` from the state folder, or has one signed when there is none or it
  // has expired; writes `bundle.pem`. FailedPrecondition when the state cannot be trusted.
  static absl::StatusOr<std::unique_ptr<Authority>> Open(Options options,
                                                         std::unique_ptr<Signer> signer);

  struct Request {
    spiffe::SpiffeId id;
    // Checked by CheckCsr. Borrowed.
    absl::string_view public_key_info;
    absl::Duration ttl;
    std::vector<std::string> dns_names;
  };
  struct Issued {
    SignedLeaf leaf;
    // Whose chain_der() goes with the leaf.
    std::shared_ptr<const LeafIssuer> issuer;
    absl::Time not_before;
    absl::Time not_after;
  };
  // The leaf's end is never after its issuer's. AUTHORITY_UNAVAILABLE when the issuer has expired.
  countersign::identity::OrRefused<Issued> Issue(const Request& request) const;

  // Replaces the intermediate once half its life is over; what it has signed stays valid. True when
  // it did. On failure the present one stays in force.
  absl::StatusOr<bool> RenewIfDue();

  // Our trust domain's bundle.
  spiffe::BundleSet::Bundle bundle() const;

  struct Expiry {
    std::string authority;
    absl::Time not_after;
  };
  std::vector<Expiry> Expiries() const;

 private:
  Authority(Options options, std::unique_ptr<Signer> signer)
      : options_(std::move(options)), signer_(std::move(signer)) {}

  absl::Status LoadIntermediate();
  absl::Status NewIntermediate();
  absl::Status WriteBundle() const;
  std::string IntermediatePath() const { return options_.state_dir + "/ca/intermediate.pem"; }
  std::shared_ptr<const LeafIssuer> issuer() const {
    const std::lock_guard lock(mutex_);
    return issuer_;
  }

  const Options options_;
  const std::unique_ptr<Signer> signer_;
  std::vector<std::string> roots_der_;
  mutable std::mutex mutex_;
  std::shared_ptr<const LeafIssuer> issuer_;
};

}  // namespace countersign::control::ca

#endif  // COUNTERSIGN_CONTROL_CA_AUTHORITY_H_
