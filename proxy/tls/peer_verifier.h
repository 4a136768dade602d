// Verifies peers' chains, and remembers those it has verified.
#ifndef COUNTERSIGN_PROXY_TLS_PEER_VERIFIER_H_
#define COUNTERSIGN_PROXY_TLS_PEER_VERIFIER_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/time/time.h"
#include "api/spiffe/verifier.h"

namespace countersign::tls {

// One a worker. A verified chain is remembered by the SHA-256 of all its certificates until the
// first of them expires or a bundle or deny list changes; refusals are never remembered.
class PeerVerifier {
 public:
  // Fills `svid` on kNone.
  spiffe::VerifyError Verify(X509* leaf, STACK_OF(X509) * untrusted,
                             const std::shared_ptr<const spiffe::BundleSet>& bundles,
                             const std::shared_ptr<const spiffe::DenyList>& deny_list,
                             absl::Time now, std::shared_ptr<const spiffe::PeerSvid>* svid);

  uint64_t hits() const { return hits_; }

 private:
  static constexpr size_t kMaxEntries = 4096;
  struct Entry {
    std::shared_ptr<const spiffe::PeerSvid> svid;
    absl::Time not_before;
    absl::Time not_after;
  };

  absl::flat_hash_map<std::string, Entry> verified_;
  // What they were verified with: held, so that no other snapshot can have its address.
  std::shared_ptr<const spiffe::BundleSet> bundles_;
  std::shared_ptr<const spiffe::DenyList> deny_list_;
  uint64_t hits_ = 0;
};

}  // namespace countersign::tls

#endif  // COUNTERSIGN_PROXY_TLS_PEER_VERIFIER_H_
