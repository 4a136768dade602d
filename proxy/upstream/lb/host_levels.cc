#include "proxy/upstream/lb/host_levels.h"

#include <algorithm>
#include <map>
#include <utility>

namespace countersign::upstream {
namespace {

// How often the policy is asked again before the hosts are gone through one by one.
constexpr uint32_t kAttempts = 4;

// 0 is nearest.
int Distance(const config::Locality& own, const config::Locality& other) {
  if (own.region.empty() && own.zone.empty()) return 0;  // not known where we are
  if (own.region != other.region) return 2;
  return own.zone == other.zone ? 0 : 1;
}

bool Tried(const LoadBalancerContext& context, const Host* host) {
  return std::find(context.tried.begin(), context.tried.end(), host) != context.tried.end();
}

}  // namespace

HostLevels::HostLevels(const config::Cluster& config, const config::Locality& own,
                       absl::Span<const std::unique_ptr<Host>> hosts, Random& random)
    : config_(config), random_(random) {
  std::map<std::pair<uint32_t, int>, Level> sorted;
  for (const auto& host : hosts) {
    const int distance = config.prefer_locality ? Distance(own, host->endpoint.locality) : 0;
    Level& level = sorted[{host->endpoint.priority, distance}];
    level.all.push_back(host.get());
    if (host->usable()) (host->degraded() ? level.degraded : level.healthy).push_back(host.get());
  }
  std::vector<LevelHealth> health;
  for (auto& [key, level] : sorted) {
    health.push_back({static_cast<uint32_t>(level.healthy.size()),
                      static_cast<uint32_t>(level.all.size()),
                      static_cast<uint32_t>(level.degraded.size())});
    levels_.push_back(std::move(level));
  }
  const std::vector<LevelLoad> loads =
      DistributeLoad(health, config.overprovisioning_percent, config.panic_percent);
  for (size_t i = 0; i < levels_.size(); ++i) levels_[i].load = loads[i];
}

LoadBalancer* HostLevels::Get(std::unique_ptr<LoadBalancer>& balancer,
                              absl::Span<Host* const> hosts) {
  if (balancer == nullptr && !hosts.empty()) {
    balancer = NewLoadBalancer(config_, hosts, random_);
  }
  return balancer.get();
}

LoadBalancer* HostLevels::PickBalancer(const LoadBalancerContext& context) {
  if (!levels_.empty() && levels_.front().load.percent == 100) {
    return Get(levels_.front().balancer, levels_.front().in_use());
  }
  // What belongs together goes together, also in its level.
  uint32_t point = context.hash.has_value() ? Random::Mix(*context.hash) % 100 : random_.Below(100);
  for (Level& level : levels_) {
    if (point < level.load.percent) return Get(level.balancer, level.in_use());
    point -= level.load.percent;
  }
  for (Level& level : levels_) {
    if (point < level.load.degraded_percent) return Get(level.degraded_balancer, level.degraded);
    point -= level.load.degraded_percent;
  }
  return nullptr;
}

Host* HostLevels::Choose(const LoadBalancerContext& context, event::Instant now) {
  LoadBalancer* balancer = PickBalancer(context);
  if (balancer == nullptr) return nullptr;
  for (uint32_t attempt = 0; attempt < kAttempts; ++attempt) {
    Host* host = balancer->Choose(context, attempt, now);
    if (host->failed_until <= now && (context.tried.empty() || !Tried(context, host))) return host;
  }
  Host* second_best = SecondBest(context, now);
  if (second_best != nullptr || context.untried_only) return second_best;
  return balancer->Choose(context, 0, now);
}

// One that was not tried, before one that failed lately: the level's own, then the others'.
Host* HostLevels::SecondBest(const LoadBalancerContext& context, event::Instant now) {
  Host* failed = nullptr;
  const auto look = [&](absl::Span<Host* const> hosts) -> Host* {
    const size_t n = hosts.size();
    const size_t start = n == 0 ? 0 : random_.Below(static_cast<uint32_t>(n));
    for (size_t i = 0; i < n; ++i) {
      Host* host = hosts[(start + i) % n];
      if (Tried(context, host)) continue;
      if (host->failed_until <= now) return host;
      if (failed == nullptr) failed = host;
    }
    return nullptr;
  };
  for (const Level& level : levels_) {
    if (Host* host = look(level.in_use()); host != nullptr) return host;
  }
  for (const Level& level : levels_) {
    if (Host* host = look(level.degraded); host != nullptr) return host;
  }
  return failed;
}

}  // namespace countersign::upstream
