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
    if (host->healthy()) level.healthy.push_back(host.get());
  }
  std::vector<LevelHealth> health;
  for (auto& [key, level] : sorted) {
    health.push_back(
        {static_cast<uint32_t>(level.healthy.size()), static_cast<uint32_t>(level.all.size())});
    levels_.push_back(std::move(level));
  }
  const std::vector<LevelLoad> loads =
      DistributeLoad(health, config.overprovisioning_percent, config.panic_percent);
  for (size_t i = 0; i < levels_.size(); ++i) levels_[i].load = loads[i];
}

HostLevels::Level* HostLevels::PickLevel(const LoadBalancerContext& context) {
  if (levels_.size() == 1) return levels_.front().in_use().empty() ? nullptr : &levels_.front();
  // What belongs together goes together, also in its level.
  uint32_t point = context.hash.has_value() ? Random::Mix(*context.hash) % 100 : random_.Below(100);
  for (Level& level : levels_) {
    if (point < level.load.percent) return level.in_use().empty() ? nullptr : &level;
    point -= level.load.percent;
  }
  return nullptr;
}

Host* HostLevels::Choose(const LoadBalancerContext& context, event::Instant now) {
  Level* level = PickLevel(context);
  if (level == nullptr) return nullptr;
  if (level->balancer == nullptr) {
    level->balancer = NewLoadBalancer(config_, level->in_use(), random_);
  }
  for (uint32_t attempt = 0; attempt < kAttempts; ++attempt) {
    Host* host = level->balancer->Choose(context, attempt, now);
    if (host->failed_until <= now && (context.tried.empty() || !Tried(context, host))) return host;
  }
  Host* second_best = SecondBest(context, now);
  if (second_best != nullptr || context.untried_only) return second_best;
  return level->balancer->Choose(context, 0, now);
}

// One that was not tried, before one that failed lately: the level's own, then the others'.
Host* HostLevels::SecondBest(const LoadBalancerContext& context, event::Instant now) {
  Host* failed = nullptr;
  for (const Level& level : levels_) {
    const absl::Span<Host* const> hosts = level.in_use();
    const size_t n = hosts.size();
    const size_t start = n == 0 ? 0 : random_.Below(static_cast<uint32_t>(n));
    for (size_t i = 0; i < n; ++i) {
      Host* host = hosts[(start + i) % n];
      if (Tried(context, host)) continue;
      if (host->failed_until <= now) return host;
      if (failed == nullptr) failed = host;
    }
  }
  return failed;
}

}  // namespace countersign::upstream
