#include "control/ads/ads_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

namespace countersign::control::ads {
namespace {

using compile::Type;
using prometheus::Histogram;

Histogram::BucketBoundaries Latencies() {
  return {0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.25, 0.5, 1, 2.5, 5, 10, 30};
}

}  // namespace

AdsMetrics::AdsMetrics(prometheus::Registry& registry)
    : streams_(prometheus::BuildGauge()
                   .Name("countersign_control_ads_streams")
                   .Help("Configuration streams that are open.")
                   .Register(registry)
                   .Add({})),
      opened_(prometheus::BuildCounter()
                  .Name("countersign_control_ads_streams_total")
                  .Help("Configuration streams asked for, by result: accepted, or why not.")
                  .Register(registry)),
      accepted_(&opened_.Add({{"result", "accepted"}})),
      pushes_(prometheus::BuildCounter()
                  .Name("countersign_control_ads_pushes_total")
                  .Help("Responses sent to proxies, by type.")
                  .Register(registry)),
      resources_(prometheus::BuildCounter()
                     .Name("countersign_control_ads_resources_sent_total")
                     .Help("Resources sent to proxies, removals included, by type.")
                     .Register(registry)),
      nacks_(prometheus::BuildCounter()
                 .Name("countersign_control_ads_nacks_total")
                 .Help("Responses that a proxy refused, by type; the log has its reason.")
                 .Register(registry)),
      event_to_ack_(prometheus::BuildHistogram()
                        .Name("countersign_control_ads_event_to_ack_seconds")
                        .Help("From noticing a change of the configuration to a proxy's "
                              "acknowledgement that it is in force there.")
                        .Register(registry)
                        .Add({}, Latencies())),
      compile_seconds_(prometheus::BuildHistogram()
                           .Name("countersign_control_compile_seconds")
                           .Help("Compiling everything that is subscribed to for a new version of "
                                 "the configuration.")
                           .Register(registry)
                           .Add({}, Latencies())),
      resources_held_(prometheus::BuildGauge()
                          .Name("countersign_control_compiled_resources")
                          .Help("Compiled resources that some proxy subscribes to.")
                          .Register(registry)
                          .Add({})) {
  for (Type type : compile::kPushOrder) {
    const int i = static_cast<int>(type);
    const prometheus::Labels labels = {{"type", compile::TypeLabel(type)}};
    pushed_[i] = &pushes_.Add(labels);
    sent_[i] = &resources_.Add(labels);
    nacked_[i] = &nacks_.Add(labels);
  }
}

void AdsMetrics::StreamOpened() {
  streams_.Increment();
  accepted_->Increment();
}
void AdsMetrics::StreamClosed() { streams_.Decrement(); }
void AdsMetrics::StreamRefused(const char* reason) {
  opened_.Add({{"result", reason}}).Increment();
}
void AdsMetrics::Pushed(Type type, size_t resources, size_t removed) {
  pushed_[static_cast<int>(type)]->Increment();
  sent_[static_cast<int>(type)]->Increment(static_cast<double>(resources + removed));
}
void AdsMetrics::Acked(absl::Duration since_event) {
  event_to_ack_.Observe(absl::ToDoubleSeconds(since_event));
}
void AdsMetrics::Nacked(Type type) { nacked_[static_cast<int>(type)]->Increment(); }
void AdsMetrics::Compiled(absl::Duration took, size_t resources) {
  compile_seconds_.Observe(absl::ToDoubleSeconds(took));
  resources_held_.Set(static_cast<double>(resources));
}

}  // namespace countersign::control::ads
