// Who is asking: evidence in, SPIFFE ID out.
#ifndef COUNTERSIGN_CONTROL_ATTEST_ATTESTOR_H_
#define COUNTERSIGN_CONTROL_ATTEST_ATTESTOR_H_

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "api/identity/refusal.h"
#include "api/identity/v1/identity.pb.h"
#include "api/spiffe/spiffe_id.h"

namespace countersign::control::attest {

// What came with a request. Borrowed for one call.
struct Evidence {
  const countersign::identity::v1::Attestation& attestation;
  // The client certificate of the TLS connection below, as gRPC gives it; empty without one. Its
  // key's possession was proved by the handshake, nothing else about it is verified yet.
  absl::string_view peer_leaf_pem;
  absl::string_view peer_chain_pem;
  absl::Time now;
};

// What evidence proves.
struct Attested {
  spiffe::SpiffeId id;
  // Names evidence that is good for one use, for Consume(); empty otherwise.
  std::string receipt;
};

// Thread-safe; may block on the disk. Lives as long as the server.
class Attestor {
 public:
  virtual ~Attestor() = default;

  virtual countersign::identity::v1::Attestation::KindCase kind() const = 0;

  // The identity that the evidence proves. Uses nothing up, so that a request which is refused for
  // another reason can be mended and tried again.
  virtual countersign::identity::OrRefused<Attested> Attest(const Evidence& evidence) = 0;

  // Called with Attest's receipts once their requests are found good, before anything is signed.
  // Evidence that is good for one use is used up here, and is so on disk when this returns, with
  // one wait for all of them; whoever comes second is refused. One result a receipt, in their
  // order.
  virtual std::vector<std::optional<countersign::identity::Refused>> Consume(
      std::span<const std::string> receipts) {
    return std::vector<std::optional<countersign::identity::Refused>>(receipts.size());
  }
};

}  // namespace countersign::control::attest

#endif  // COUNTERSIGN_CONTROL_ATTEST_ATTESTOR_H_
