// The control plane's metrics of identities; declared once, with their help texts.
#ifndef COUNTERSIGN_CONTROL_STATS_IDENTITY_METRICS_H_
#define COUNTERSIGN_CONTROL_STATS_IDENTITY_METRICS_H_

#include <array>
#include <string>

#include "absl/time/time.h"
#include "api/identity/refusal.h"

namespace prometheus {
class Counter;
class Gauge;
class Histogram;
class Registry;
template <typename T>
class Family;
}  // namespace prometheus

namespace countersign::control::stats {

// Any thread. `registry` outlives it.
class IdentityMetrics {
 public:
  explicit IdentityMetrics(prometheus::Registry& registry);

  enum class Evidence { kJoinToken, kSvid, kStream };
  // kStream: a renewal on a stream that was attested before.
  void CountIssued(Evidence evidence, absl::Duration latency);
  void CountRefused(countersign::identity::RefusalReason reason);

  void StreamOpened();
  void StreamClosed();

  enum class Push { kBundles, kDenyList, kRenewNow };
  void CountPush(Push push);
  void ObserveAck(absl::Duration since_event);

  void SetAuthorityExpiry(const std::string& authority, absl::Time not_after, absl::Time now);

 private:
  static constexpr int kReasons = countersign::identity::v1::Refusal::Reason_MAX + 1;

  std::array<prometheus::Counter*, 3> issued_;
  std::array<prometheus::Counter*, kReasons> refused_;
  std::array<prometheus::Counter*, 3> pushes_;
  prometheus::Histogram& issue_seconds_;
  prometheus::Histogram& ack_seconds_;
  prometheus::Gauge& streams_;
  prometheus::Family<prometheus::Gauge>& authority_expiry_;
  prometheus::Family<prometheus::Gauge>& authority_days_;
};

}  // namespace countersign::control::stats

#endif  // COUNTERSIGN_CONTROL_STATS_IDENTITY_METRICS_H_
