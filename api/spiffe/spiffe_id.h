// SPIFFE IDs as the SPIFFE-ID standard defines them (sections 2 and 2.1 to 2.4).
#ifndef COUNTERSIGN_API_SPIFFE_SPIFFE_ID_H_
#define COUNTERSIGN_API_SPIFFE_SPIFFE_ID_H_

#include <cstddef>
#include <string>
#include <utility>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::spiffe {

inline constexpr size_t kMaxSpiffeIdBytes = 2048;
inline constexpr size_t kMaxTrustDomainBytes = 255;

// OK if `name` is a trust domain: non-empty, at most 255 bytes of [a-z0-9.-_]. Uppercase is
// refused.
absl::Status CheckTrustDomain(absl::string_view name);

// An immutable, valid SPIFFE ID; the default value is empty and equals no valid one.
class SpiffeId {
 public:
  SpiffeId() = default;

  // Parses exactly; nothing is normalised. Errors are InvalidArgument and say what is wrong without
  // repeating control bytes. Accepts an ID without a path (a trust domain's own ID).
  static absl::StatusOr<SpiffeId> Parse(absl::string_view uri);

  bool empty() const { return uri_.empty(); }
  const std::string& ToString() const { return uri_; }
  absl::string_view trust_domain() const;
  // With its leading slash; empty when the ID names the trust domain itself.
  absl::string_view path() const;

  bool operator==(const SpiffeId& other) const { return uri_ == other.uri_; }
  template <typename H>
  friend H AbslHashValue(H h, const SpiffeId& id) {
    return H::combine(std::move(h), id.uri_);
  }

 private:
  std::string uri_;
  size_t trust_domain_end_ = 0;
};

}  // namespace countersign::spiffe

#endif  // COUNTERSIGN_API_SPIFFE_SPIFFE_ID_H_
