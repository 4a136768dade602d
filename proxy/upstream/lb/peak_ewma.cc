#include "proxy/upstream/lb/peak_ewma.h"

#include <algorithm>
#include <cmath>

namespace countersign::upstream {
namespace {

constexpr double kFailureMicroseconds = 1e6;

double Decay(const config::Cluster& config, const Host& host, event::Instant now) {
  const double decay = std::max<double>(1, static_cast<double>(config.ewma_decay.count())) * 1000;
  const double since = std::chrono::duration<double, std::micro>(now - host.rtt_at).count();
  return std::exp(-std::max(0.0, since) / decay);
}

}  // namespace

void PeakEwma::Observe(const config::Cluster& config, std::chrono::microseconds latency,
                       bool failed, event::Instant now, Host* host) {
  double rtt = static_cast<double>(latency.count());
  if (failed) rtt = std::max(rtt, kFailureMicroseconds);
  if (rtt <= 0) return;
  if (host->rtt > 0 && rtt < host->rtt) {
    const double kept = Decay(config, *host, now);
    rtt = host->rtt * kept + rtt * (1 - kept);
  }
  host->rtt = static_cast<float>(rtt);
  host->rtt_at = now;
}

double PeakEwma::RoundTrip(const config::Cluster& config, const Host& host, event::Instant now) {
  // Nothing below a microsecond: the load must count even when the memory has faded.
  return host.rtt <= 0 ? 0 : std::max(1.0, host.rtt * Decay(config, host, now));
}

bool PeakEwma::Cheaper(const Host& a, const Host& b, event::Instant now) const {
  double a_rtt = RoundTrip(config_, a, now);
  double b_rtt = RoundTrip(config_, b, now);
  if (a_rtt == 0) a_rtt = b_rtt == 0 ? 1 : b_rtt;
  if (b_rtt == 0) b_rtt = a_rtt;
  return a_rtt * (a.active + 1) * b.endpoint.weight < b_rtt * (b.active + 1) * a.endpoint.weight;
}

Host* PeakEwma::Choose(const LoadBalancerContext&, uint32_t, event::Instant now) {
  Host* one = &sampler_.Sample(now);
  if (sampler_.size() == 1) return one;
  Host* other = &sampler_.Sample(now);
  if (other == one) {
    const absl::Span<Host* const> hosts = sampler_.hosts();
    const size_t i = random_.Below(static_cast<uint32_t>(hosts.size()));
    other = hosts[i] != one ? hosts[i] : hosts[(i + 1) % hosts.size()];
  }
  return Cheaper(*other, *one, now) ? other : one;
}

}  // namespace countersign::upstream
