#include "proxy/upstream/lb/round_robin.h"

#include <algorithm>
#include <functional>

namespace countersign::upstream {

RoundRobin::RoundRobin(const config::Cluster& config, absl::Span<Host* const> hosts, Random& random)
    : config_(config),
      hosts_(hosts.begin(), hosts.end()),
      next_(random.Below(static_cast<uint32_t>(hosts.size()))) {
  const uint32_t first = hosts_.front()->endpoint.weight;
  const bool equal = std::all_of(hosts_.begin(), hosts_.end(), [first](const Host* host) {
    return host->endpoint.weight == first;
  });
  if (equal && config.slow_start.count() <= 0) return;
  due_.reserve(hosts_.size());
  for (Host* host : hosts_) {
    // As if it had been going on: somewhere within the host's first interval.
    due_.push_back(
        {random.Unit() / host->endpoint.weight, static_cast<uint32_t>(due_.size()), host});
  }
  std::make_heap(due_.begin(), due_.end(), std::greater<>());
}

Host* RoundRobin::Choose(const LoadBalancerContext&, uint32_t, event::Instant now) {
  if (due_.empty()) {
    if (next_ >= hosts_.size()) next_ = 0;
    return hosts_[next_++];
  }
  std::pop_heap(due_.begin(), due_.end(), std::greater<>());
  Entry& entry = due_.back();
  Host* host = entry.host;
  now_ = entry.deadline;
  // Its present weight counts, so a host that starts slowly speeds up.
  entry.deadline = now_ + 1 / (host->endpoint.weight * SlowStartFactor(config_, *host, now));
  std::push_heap(due_.begin(), due_.end(), std::greater<>());
  return host;
}

}  // namespace countersign::upstream
