// What a verifier trusts and what it refuses: trust bundles by trust domain, and the deny list.
// Both are immutable snapshots, shared between threads.
#ifndef COUNTERSIGN_API_SPIFFE_TRUST_H_
#define COUNTERSIGN_API_SPIFFE_TRUST_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "api/spiffe/openssl_ptr.h"
#include "api/spiffe/spiffe_id.h"

namespace countersign::spiffe {

// The authorities of each trust domain. Never pooled: a peer is verified against its own domain's
// alone.
class BundleSet {
 public:
  struct Bundle {
    std::string trust_domain;
    std::vector<std::string> authorities_der;
  };

  // Errors: InvalidArgument for a domain or certificate that does not parse, is no CA, or stands
  // twice.
  static absl::StatusOr<std::shared_ptr<const BundleSet>> Create(uint64_t epoch,
                                                                 std::vector<Bundle> bundles);

  uint64_t epoch() const { return epoch_; }
  const std::vector<Bundle>& bundles() const { return bundles_; }
  // The store for path validation, or null for a trust domain that is not here. Borrowed.
  X509_STORE* StoreFor(absl::string_view trust_domain) const;
  // The same authorities as a stack: OpenSSL 3.0 takes a write lock for each look-up in a store,
  // and none for a stack. Borrowed, null for an unknown trust domain, not to be changed.
  STACK_OF(X509) * AnchorsFor(absl::string_view trust_domain) const;

 private:
  struct Anchors {
    X509StorePtr store;
    X509StackPtr stack;
  };

  BundleSet() = default;
  const Anchors* Find(absl::string_view trust_domain) const;

  uint64_t epoch_ = 0;
  std::vector<Bundle> bundles_;
  absl::flat_hash_map<std::string, Anchors> anchors_;
};

class DenyList {
 public:
  DenyList() = default;
  explicit DenyList(uint64_t epoch) : epoch_(epoch) {}

  void AddId(const SpiffeId& id) { ids_.insert(id.ToString()); }
  // `issuer` is the DER of the issuer's Name, `serial` big-endian without leading zeros.
  void AddSerial(std::string issuer, std::string serial) {
    serials_.emplace(std::move(issuer), std::move(serial));
  }

  uint64_t epoch() const { return epoch_; }
  bool empty() const { return ids_.empty() && serials_.empty(); }
  const absl::flat_hash_set<std::string>& ids() const { return ids_; }
  // Issuer and serial.
  const absl::flat_hash_set<std::pair<std::string, std::string>>& serials() const {
    return serials_;
  }
  bool Denies(const SpiffeId& id, absl::string_view issuer, absl::string_view serial) const;

 private:
  uint64_t epoch_ = 0;
  absl::flat_hash_set<std::string> ids_;
  absl::flat_hash_set<std::pair<std::string, std::string>> serials_;
};

}  // namespace countersign::spiffe

#endif  // COUNTERSIGN_API_SPIFFE_TRUST_H_
