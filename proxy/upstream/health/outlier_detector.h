// Takes hosts out that fail, for a while, by what their requests show.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_HEALTH_OUTLIER_DETECTOR_H_
#define COUNTERSIGN_PROXY_UPSTREAM_HEALTH_OUTLIER_DETECTOR_H_

#include <cstdint>
#include <memory>
#include <string>

#include "absl/types/span.h"
#include "proxy/config/cluster.h"
#include "proxy/event/dispatcher.h"
#include "proxy/upstream/host.h"
#include "proxy/upstream/outcome.h"

namespace countersign::upstream {

enum class EjectionCause : uint8_t { kConsecutive5xx, kConsecutiveGatewayFailure, kSuccessRate };
// The metric label: `consecutive_5xx`, ...
const char* EjectionCauseLabel(EjectionCause cause);

// Envoy's outlier detection. Consecutive failures eject at once, success rates at the end of each
// interval: below the mean of the hosts with enough requests by more than stdev x factor. An
// ejection lasts base x how often the host was ejected before, up to the maximum; that number falls
// by one with each interval that the host gets through. No more than the given share of hosts is
// out at a time, but one always may be. A member of its cluster, on its worker's thread; its timer
// runs only while there is something to judge or to let back in.
class OutlierDetector {
 public:
  class Owner {
   public:
    virtual absl::Span<const std::unique_ptr<Host>> judged_hosts() const = 0;
    // `host.ejected` has become true. `sentence`: of what, for how long.
    virtual void OnEjected(Host& host, EjectionCause cause, const std::string& sentence) = 0;
    virtual void OnUnejected(Host& host) = 0;
    // It would have been ejected, but too many are.
    virtual void OnEjectionRefused(Host& host, EjectionCause cause) = 0;

   protected:
    ~Owner() = default;
  };

  OutlierDetector(event::Dispatcher& dispatcher, Owner& owner,
                  const config::OutlierDetection& config);

  void SetConfig(const config::OutlierDetection& config);
  // Hosts came or went.
  void OnHostsChanged();
  void OnOutcome(Host& host, const Outcome& outcome);
  uint32_t ejected() const { return ejected_; }

 private:
  void Eject(Host& host, EjectionCause cause, const std::string& why);
  void OnInterval();
  void JudgeSuccessRates();
  void Arm();

  event::Dispatcher& dispatcher_;
  Owner& owner_;
  config::OutlierDetection config_;
  event::Timer timer_;
  uint32_t ejected_ = 0;
};

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_HEALTH_OUTLIER_DETECTOR_H_
