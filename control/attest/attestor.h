// Who is asking: evidence in, SPIFFE ID out.
#ifndef COUNTERSIGN_CONTROL_ATTEST_ATTESTOR_H_
#define COUNTERSIGN_CONTROL_ATTEST_ATTESTOR_H_

#include <optional>

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

// Thread-safe; may block on the disk. Lives as long as the server.
class Attestor {
 public:
  virtual ~Attestor() = default;

  virtual countersign::identity::v1::Attestation::KindCase kind() const = 0;

  // The identity that the evidence proves. Uses nothing up, so that a request which is refused for
  // another reason can be mended and tried again.
  virtual countersign::identity::OrRefused<spiffe::SpiffeId> Attest(const Evidence& evidence) = 0;

  // Called once the request is found good, before anything is signed. Evidence that is good for one
  // use is used up here, durably; whoever comes second is refused.
  virtual std::optional<countersign::identity::Refused> Consume(const Evidence& evidence) {
    return std::nullopt;
  }
};

}  // namespace countersign::control::attest

#endif  // COUNTERSIGN_CONTROL_ATTEST_ATTESTOR_H_
