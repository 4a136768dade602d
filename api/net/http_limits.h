// How much of HTTP routing and balancing the proxy takes in one resource. The control plane holds
// people to the same, so that what it has accepted is not refused later.
#ifndef COUNTERSIGN_API_NET_HTTP_LIMITS_H_
#define COUNTERSIGN_API_NET_HTTP_LIMITS_H_

#include <cstddef>
#include <cstdint>

namespace countersign::net {

// RE2 matches in linear time whatever the expression, but its program and its automaton take
// memory: people's expressions are short, an attacker's need not be.
inline constexpr size_t kMaxRegexBytes = 1024;
inline constexpr int kMaxRegexProgram = 2000;
inline constexpr int64_t kMaxRegexMemory = 256 * 1024;
inline constexpr size_t kMaxRegexes = 200;  // different ones of one resource

// Of one RouteConfiguration.
inline constexpr int kMaxVirtualHosts = 1000;
inline constexpr int kMaxRoutes = 5000;
inline constexpr int kMaxMatchers = 64;  // of one route, headers and query parameters each
inline constexpr int kMaxHeaderChanges = 64;
inline constexpr int kMaxRouteClusters = 128;
inline constexpr int kMaxMirrors = 8;
inline constexpr uint32_t kMaxRetries = 20;
inline constexpr int kMaxStatusCodes = 64;

// Of a message's head. One that was let in must get through to the next proxy, and nghttp2 takes
// nine frames of 16 KiB for a head and no more.
inline constexpr uint32_t kMaxHeadKib = 128;

// Of one cluster.
inline constexpr int kMaxHealthChecks = 8;
inline constexpr uint32_t kMaxRing = 8 * 1024 * 1024;
// Of a Maglev table, which has a prime number of places (Envoy's bound).
inline constexpr uint32_t kMaxMaglevTable = 5'000'011;
constexpr bool IsPrime(uint64_t n) {
  if (n < 2 || n % 2 == 0) return n == 2;
  for (uint64_t i = 3; i * i <= n; i += 2) {
    if (n % i == 0) return false;
  }
  return true;
}

}  // namespace countersign::net

#endif  // COUNTERSIGN_API_NET_HTTP_LIMITS_H_
