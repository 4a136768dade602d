// What a cluster counts for /metrics.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_CLUSTER_STATS_H_
#define COUNTERSIGN_PROXY_UPSTREAM_CLUSTER_STATS_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/string_view.h"
#include "proxy/buffer/close_reason.h"
#include "proxy/stats/registry.h"
#include "proxy/upstream/circuit_breakers.h"
#include "proxy/upstream/health/outlier_detector.h"

namespace countersign::upstream {

// What happens to requests on their way to a cluster, beside their answers.
enum class RequestEvent : uint8_t {
  kRetry,
  kRetrySucceeded,  // the answer that it brought was not to be tried again
  // A try that was wanted was not made:
  kRetryLimit,     // the policy's number of retries is reached
  kRetryOverflow,  // the cluster's breaker or budget forbids it
  kRetryBody,      // more of the body was sent than is kept
  // A copy of a request:
  kMirrorSent,
  kMirrorNotReached,
  kMirrorTooLarge,
  kMirrorLimit,
  kFaultDelay,
  kFaultAbort,
};
inline constexpr size_t kRequestEvents = static_cast<size_t>(RequestEvent::kFaultAbort) + 1;

// The series of one cluster on one worker. Gauges are there from the beginning, counters from the
// first event; all go with the cluster. On its worker's thread.
class ClusterStats {
 public:
  ClusterStats(stats::Registry& registry, std::string cluster);
  ClusterStats(const ClusterStats&) = delete;
  ClusterStats& operator=(const ClusterStats&) = delete;

  void OnConnectionOpened();
  void OnConnectionEnded(bool opened, buffer::CloseReason reason);
  void OnOverflow(CircuitBreakers::Kind breaker);
  void OnEjected(EjectionCause cause);
  void OnEjectionRefused(EjectionCause cause);
  void OnChecked(bool passed);
  void OnRequestEvent(RequestEvent event);
  void SetHosts(size_t all, size_t usable, size_t ejected, size_t failed_check);
  // Takes the series back; nothing may be counted afterwards.
  void Release();

 private:
  void Count(const stats::Family& family, absl::string_view label);

  stats::Registry& registry_;
  const std::string cluster_;
  stats::Cell* opened_ = nullptr;
  stats::Cell& connections_;
  stats::Cell* hosts_[4];
  // Looked up once: these are counted most when there is least time.
  stats::Cell* overflows_[CircuitBreakers::kKinds] = {};
  stats::Cell* request_events_[kRequestEvents] = {};
  struct Used {
    const stats::Family* family;
    std::string label;
    bool operator==(const Used&) const = default;
    template <typename H>
    friend H AbslHashValue(H h, const Used& used) {
      return H::combine(std::move(h), used.family, used.label);
    }
  };
  absl::flat_hash_set<Used> used_;
};

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_CLUSTER_STATS_H_
