#include "proxy/upstream/lb/ring_hash.h"

#include <algorithm>
#include <cmath>

#include "proxy/upstream/lb/host_hash.h"

namespace countersign::upstream {

RingHash::RingHash(const config::Cluster& config, absl::Span<Host* const> hosts, Random& random)
    : random_(random) {
  const std::vector<Host*> sorted = InOrderOfAddress(hosts);
  double total = 0;
  uint32_t lightest = UINT32_MAX;
  for (const Host* host : sorted) {
    total += host->endpoint.weight;
    lightest = std::min(lightest, host->endpoint.weight);
  }
  // Points for each unit of the whole weight: the lightest host has a whole number, at least one.
  const double least_share = lightest / total;
  const double minimum = static_cast<double>(std::max<uint64_t>(1, config.ring_minimum));
  const double maximum =
      static_cast<double>(std::max<uint64_t>(sorted.size(), config.ring_maximum));
  const double scale = std::min(std::ceil(least_share * minimum) / least_share, maximum);
  ring_.reserve(static_cast<size_t>(scale) + sorted.size());
  double wanted = 0;
  double placed = 0;
  for (Host* host : sorted) {
    const uint64_t base = HostHash(*host);
    wanted += scale * host->endpoint.weight / total;
    for (uint64_t i = 0; placed < wanted; ++i, ++placed) {
      ring_.push_back({Random::Mix(base + i * 0x9e3779b97f4a7c15u), host});
    }
  }
  std::sort(ring_.begin(), ring_.end(),
            [](const Point& a, const Point& b) { return a.hash < b.hash; });
}

Host* RingHash::Choose(const LoadBalancerContext& context, uint32_t attempt, event::Instant) {
  const uint64_t key = Random::Mix(context.hash.has_value() ? *context.hash : random_.Next());
  auto it = std::lower_bound(ring_.begin(), ring_.end(), key,
                             [](const Point& point, uint64_t at) { return point.hash < at; });
  if (it == ring_.end()) it = ring_.begin();
  // A further attempt goes on to the next host on the ring, as if this one were gone.
  for (size_t steps = 0; attempt > 0 && steps < ring_.size(); --attempt) {
    const Host* passed = it->host;
    for (; it->host == passed && steps < ring_.size(); ++steps) {
      if (++it == ring_.end()) it = ring_.begin();
    }
  }
  return it->host;
}

}  // namespace countersign::upstream
