// The proxy's own certificate and all that it verifies peers with, as one immutable value.
#ifndef COUNTERSIGN_PROXY_IDENTITY_SECRET_SNAPSHOT_H_
#define COUNTERSIGN_PROXY_IDENTITY_SECRET_SNAPSHOT_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/time/time.h"
#include "api/spiffe/openssl_ptr.h"
#include "api/spiffe/spiffe_id.h"
#include "api/spiffe/trust.h"

namespace countersign::identity {

// Shared by all threads, never mutated after it is published. The key is never serialised.
struct SecretSnapshot {
  uint64_t generation = 0;  // grows with every change of any member
  spiffe::SpiffeId id;
  std::vector<spiffe::X509Ptr> chain;  // leaf first
  spiffe::EvpPkeyPtr key;
  absl::Time not_before;
  absl::Time not_after;
  std::shared_ptr<const spiffe::BundleSet> bundles;
  std::shared_ptr<const spiffe::DenyList> deny_list;
};

// Called on the main thread whenever a new snapshot is in force.
class SecretSink {
 public:
  virtual ~SecretSink() = default;
  virtual void OnSecret(std::shared_ptr<const SecretSnapshot> secret) = 0;
};

}  // namespace countersign::identity

#endif  // COUNTERSIGN_PROXY_IDENTITY_SECRET_SNAPSHOT_H_
