#include "proxy/upstream/lb/maglev.h"

#include <algorithm>

#include "proxy/upstream/lb/host_hash.h"

namespace countersign::upstream {

Maglev::Maglev(const config::Cluster& config, absl::Span<Host* const> hosts, Random& random)
    : hosts_(InOrderOfAddress(hosts)), random_(random) {
  const uint64_t size = std::max(3u, config.maglev_table);
  constexpr uint32_t kFree = UINT32_MAX;
  table_.assign(size, kFree);
  struct Filling {
    uint64_t at;
    uint64_t skip;
    double credit = 0;
  };
  std::vector<Filling> filling;
  filling.reserve(hosts_.size());
  uint32_t heaviest = 1;
  for (const Host* host : hosts_) {
    const uint64_t hash = HostHash(*host);
    filling.push_back({hash % size, Random::Mix(hash) % (size - 1) + 1});
    heaviest = std::max(heaviest, host->endpoint.weight);
  }
  uint64_t left = size;
  while (left > 0) {
    for (uint32_t i = 0; i < hosts_.size() && left > 0; ++i) {
      Filling& fill = filling[i];
      fill.credit += hosts_[i]->endpoint.weight;
      if (fill.credit < heaviest) continue;
      fill.credit -= heaviest;
      while (table_[fill.at] != kFree) fill.at = (fill.at + fill.skip) % size;
      table_[fill.at] = i;
      --left;
    }
  }
}

Host* Maglev::Choose(const LoadBalancerContext& context, uint32_t attempt, event::Instant) {
  uint64_t key = context.hash.has_value() ? *context.hash : random_.Next();
  for (uint32_t i = 0; i <= attempt; ++i) key = Random::Mix(key + i);
  return hosts_[table_[key % table_.size()]];
}

}  // namespace countersign::upstream
