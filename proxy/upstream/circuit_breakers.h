// The limits of a cluster on one worker, and how near they are.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_CIRCUIT_BREAKERS_H_
#define COUNTERSIGN_PROXY_UPSTREAM_CIRCUIT_BREAKERS_H_

#include <array>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "proxy/config/cluster.h"

namespace countersign::upstream {

// Counts what is under way against the configuration's limits, and what they refused. A member of
// its cluster, on its worker's thread.
class CircuitBreakers {
 public:
  enum class Kind : uint8_t { kConnections, kPending, kRequests, kRetries };
  static constexpr int kKinds = 4;

  explicit CircuitBreakers(const config::CircuitBreakers& limits) : limits_(limits) {}
  void SetLimits(const config::CircuitBreakers& limits) { limits_ = limits; }

  // False: at the limit; counted as an overflow.
  bool TryAdd(Kind kind);
  // Whatever the limit says.
  void Add(Kind kind) { ++count_[Index(kind)]; }
  void Remove(Kind kind) { --count_[Index(kind)]; }

  // For retries it moves with the active requests: the budget, but never below max_retries.
  uint32_t limit(Kind kind) const;
  uint32_t count(Kind kind) const { return count_[Index(kind)]; }
  bool open(Kind kind) const { return count(kind) >= limit(kind); }
  uint64_t overflows(Kind kind) const { return overflows_[Index(kind)]; }
  // `connections`, `pending`, `requests`, `retries`: the metric label.
  static const char* Label(Kind kind);
  // For whoever is refused.
  std::string Explain(Kind kind, absl::string_view cluster) const;

 private:
  static constexpr size_t Index(Kind kind) { return static_cast<size_t>(kind); }

  config::CircuitBreakers limits_;
  std::array<uint32_t, kKinds> count_{};
  std::array<uint64_t, kKinds> overflows_{};
};

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_CIRCUIT_BREAKERS_H_
