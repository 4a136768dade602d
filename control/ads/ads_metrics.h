#ifndef COUNTERSIGN_CONTROL_ADS_ADS_METRICS_H_
#define COUNTERSIGN_CONTROL_ADS_ADS_METRICS_H_

#include <map>
#include <string>

#include "absl/time/time.h"
#include "control/compile/resource.h"

namespace prometheus {
class Registry;
template <typename T>
class Family;
class Counter;
class Gauge;
class Histogram;
}  // namespace prometheus

namespace countersign::control::ads {

// What the configuration streams count. Thread-safe, as prometheus-cpp is.
class AdsMetrics {
 public:
  explicit AdsMetrics(prometheus::Registry& registry);

  void StreamOpened();
  void StreamClosed();
  // `reason` is one of a few constants.
  void StreamRefused(const char* reason);
  void Pushed(compile::Type type, size_t resources, size_t removed);
  void Acked(absl::Duration since_event);
  void Nacked(compile::Type type);
  void Compiled(absl::Duration took, size_t resources);

 private:
  prometheus::Gauge& streams_;
  prometheus::Family<prometheus::Counter>& opened_;
  prometheus::Counter* accepted_;
  prometheus::Family<prometheus::Counter>& pushes_;
  prometheus::Counter* pushed_[compile::kTypeCount];
  prometheus::Family<prometheus::Counter>& resources_;
  prometheus::Counter* sent_[compile::kTypeCount];
  prometheus::Family<prometheus::Counter>& nacks_;
  prometheus::Counter* nacked_[compile::kTypeCount];
  prometheus::Histogram& event_to_ack_;
  prometheus::Histogram& compile_seconds_;
  prometheus::Gauge& resources_held_;
};

}  // namespace countersign::control::ads

#endif  // COUNTERSIGN_CONTROL_ADS_ADS_METRICS_H_
