// The counters of HTTP requests between two workloads.
#ifndef COUNTERSIGN_PROXY_STATS_REQUEST_CELLS_H_
#define COUNTERSIGN_PROXY_STATS_REQUEST_CELLS_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "proxy/stats/registry.h"

namespace countersign::stats {

// Istio's labels that do not change from request to request.
struct RequestLabels {
  absl::string_view reporter;  // source | destination
  absl::string_view source_workload;
  absl::string_view source_workload_namespace;
  absl::string_view source_principal;
  absl::string_view destination_workload;
  absl::string_view destination_workload_namespace;
  absl::string_view destination_principal;
  absl::string_view destination_service;
  absl::string_view destination_service_namespace;
  absl::string_view connection_security_policy;  // mutual_tls | none
};

struct RequestOutcome {
  uint16_t status = 0;   // 0: none was sent
  int grpc_status = -1;  // -1: not gRPC, or none
  bool grpc = false;
  absl::string_view flags = "-";  // `UF,URX`
  std::chrono::microseconds duration{0};
  uint64_t request_bytes = 0;
  uint64_t response_bytes = 0;
};

// Finds a request's counters without a lock or an allocation once they were used before. Several
// may stand for the same pair: they share its series. Beyond 64 combinations of status, gRPC status
// and flags the rest is counted as `other`. When the last of a pair is gone, its series follow
// after an hour. Of one thread.
class RequestCells {
 public:
  RequestCells(Registry& registry, const RequestLabels& labels);
  ~RequestCells();
  RequestCells(const RequestCells&) = delete;
  RequestCells& operator=(const RequestCells&) = delete;

  void Record(const RequestOutcome& outcome);
  // Messages of gRPC calls, either way, that have passed since the last call of this.
  void AddMessages(uint64_t requests, uint64_t responses);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace countersign::stats

#endif  // COUNTERSIGN_PROXY_STATS_REQUEST_CELLS_H_
