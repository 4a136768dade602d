#include "proxy/upstream/lb/least_request.h"

#include <algorithm>

namespace countersign::upstream {
namespace {

bool Less(const Host& a, const Host& b) {
  return static_cast<uint64_t>(a.active) * b.endpoint.weight <
         static_cast<uint64_t>(b.active) * a.endpoint.weight;
}

}  // namespace

Host* LeastRequest::Choose(const LoadBalancerContext&, uint32_t, event::Instant now) {
  Host* best = &sampler_.Sample(now);
  if (sampler_.size() == 1) return best;
  const uint32_t choices = std::max(1u, config_.choice_count);
  if (sampler_.size() <= choices) {
    for (Host* host : sampler_.hosts()) {
      if (Less(*host, *best)) best = host;
    }
    return best;
  }
  for (uint32_t i = 1; i < choices; ++i) {
    Host& other = sampler_.Sample(now);
    if (Less(other, *best)) best = &other;
  }
  return best;
}

}  // namespace countersign::upstream
