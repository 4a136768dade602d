#include "proxy/upstream/lb/weighted_sampler.h"

#include <algorithm>

#include "proxy/upstream/lb/load_balancer.h"

namespace countersign::upstream {
namespace {

// A host that starts slowly is passed over this often at most before it is taken all the same.
constexpr int kMaxRejections = 16;

}  // namespace

WeightedSampler::WeightedSampler(const config::Cluster& config, absl::Span<Host* const> hosts,
                                 Random& random)
    : config_(config), hosts_(hosts.begin(), hosts.end()), random_(random) {
  const uint32_t first = hosts_.front()->endpoint.weight;
  if (std::all_of(hosts_.begin(), hosts_.end(),
                  [first](const Host* host) { return host->endpoint.weight == first; })) {
    return;
  }
  const size_t n = hosts_.size();
  double total = 0;
  for (const Host* host : hosts_) total += host->endpoint.weight;
  std::vector<double> share(n);
  std::vector<uint32_t> small, large;
  for (uint32_t i = 0; i < n; ++i) {
    share[i] = hosts_[i]->endpoint.weight * static_cast<double>(n) / total;
    (share[i] < 1 ? small : large).push_back(i);
  }
  table_.resize(n);
  while (!small.empty() && !large.empty()) {
    const uint32_t s = small.back();
    const uint32_t l = large.back();
    small.pop_back();
    table_[s] = {static_cast<uint32_t>(share[s] * 4294967295.0), l};
    share[l] -= 1 - share[s];
    if (share[l] < 1) {
      large.pop_back();
      small.push_back(l);
    }
  }
  // What is left is 1 but for rounding.
  for (const uint32_t i : small) table_[i] = {UINT32_MAX, i};
  for (const uint32_t i : large) table_[i] = {UINT32_MAX, i};
}

Host& WeightedSampler::SampleByWeight() {
  const uint32_t i = random_.Below(static_cast<uint32_t>(hosts_.size()));
  if (table_.empty()) return *hosts_[i];
  const Column& column = table_[i];
  return *hosts_[static_cast<uint32_t>(random_.Next()) <= column.keep ? i : column.alias];
}

Host& WeightedSampler::Sample(event::Instant now) {
  if (config_.slow_start.count() <= 0) return SampleByWeight();
  for (int i = 0; i < kMaxRejections; ++i) {
    Host& host = SampleByWeight();
    const double factor = SlowStartFactor(config_, host, now);
    if (factor >= 1 || random_.Unit() < factor) return host;
  }
  return SampleByWeight();
}

}  // namespace countersign::upstream
