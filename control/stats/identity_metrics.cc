#include "control/stats/identity_metrics.h"

#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>

namespace countersign::control::stats {
namespace {

using prometheus::BuildCounter;
using prometheus::BuildGauge;
using prometheus::BuildHistogram;

}  // namespace

IdentityMetrics::IdentityMetrics(prometheus::Registry& registry)
    : issue_seconds_(
          BuildHistogram()
              .Name("countersign_control_issue_seconds")
              .Help("Seconds from the arrival of a signing request to its certificate.")
              .Register(registry)
              .Add({}, prometheus::Histogram::BucketBoundaries{0.0001, 0.00025, 0.0005, 0.001,
                                                               0.0025, 0.005, 0.01, 0.025, 0.05,
                                                               0.1, 0.25, 0.5, 1, 2.5, 10})),
      ack_seconds_(BuildHistogram()
                       .Name("countersign_control_identity_event_to_ack_seconds")
                       .Help("Seconds from a change of bundles or deny list to a proxy's "
                             "acknowledgement that it is in force there.")
                       .Register(registry)
                       .Add({}, prometheus::Histogram::BucketBoundaries{0.001, 0.0025, 0.005, 0.01,
                                                                        0.025, 0.05, 0.1, 0.25, 0.5,
                                                                        1, 2.5, 5, 10, 30})),
      streams_(BuildGauge()
                   .Name("countersign_control_identity_streams")
                   .Help("Open identity streams, one a connected proxy.")
                   .Register(registry)
                   .Add({})),
      authority_expiry_(BuildGauge()
                            .Name("countersign_control_authority_expiry_seconds")
                            .Help("Unix time at which an authority's certificate expires.")
                            .Register(registry)),
      authority_days_(BuildGauge()
                          .Name("countersign_control_authority_days_to_expiry")
                          .Help("Days until an authority's certificate expires.")
                          .Register(registry)) {
  auto& issued = BuildCounter()
                     .Name("countersign_control_certificates_issued_total")
                     .Help("Certificates issued to proxies, by what proved their identity.")
                     .Register(registry);
  issued_ = {&issued.Add({{"evidence", "join_token"}}), &issued.Add({{"evidence", "svid"}}),
             &issued.Add({{"evidence", "stream"}})};
  auto& refused = BuildCounter()
                      .Name("countersign_control_certificates_refused_total")
                      .Help("Requests for certificates that were refused, by reason.")
                      .Register(registry);
  for (int reason = 0; reason < kReasons; ++reason) {
    refused_[reason] =
        &refused.Add({{"reason", countersign::identity::RefusalLabel(
                                     static_cast<countersign::identity::RefusalReason>(reason))}});
  }
  auto& pushes = BuildCounter()
                     .Name("countersign_control_identity_pushes_total")
                     .Help("Messages pushed to proxies without their asking, by content.")
                     .Register(registry);
  pushes_ = {&pushes.Add({{"what", "bundles"}}), &pushes.Add({{"what", "deny_list"}}),
             &pushes.Add({{"what", "renew_now"}})};
}

void IdentityMetrics::CountIssued(Evidence evidence, absl::Duration latency) {
  issued_[static_cast<size_t>(evidence)]->Increment();
  issue_seconds_.Observe(absl::ToDoubleSeconds(latency));
}

void IdentityMetrics::CountRefused(countersign::identity::RefusalReason reason) {
  refused_[static_cast<size_t>(reason)]->Increment();
}

void IdentityMetrics::StreamOpened() { streams_.Increment(); }
void IdentityMetrics::StreamClosed() { streams_.Decrement(); }

void IdentityMetrics::CountPush(Push push) { pushes_[static_cast<size_t>(push)]->Increment(); }

void IdentityMetrics::ObserveAck(absl::Duration since_event) {
  ack_seconds_.Observe(absl::ToDoubleSeconds(since_event));
}

void IdentityMetrics::SetAuthorityExpiry(const std::string& authority, absl::Time not_after,
                                         absl::Time now) {
  authority_expiry_.Add({{"authority", authority}})
      .Set(static_cast<double>(absl::ToUnixSeconds(not_after)));
  authority_days_.Add({{"authority", authority}})
      .Set(absl::FDivDuration(not_after - now, absl::Hours(24)));
}

}  // namespace countersign::control::stats
