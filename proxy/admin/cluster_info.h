// What /clusters shows: a worker fills this in, the main thread adds up what the workers said.
#ifndef COUNTERSIGN_PROXY_ADMIN_CLUSTER_INFO_H_
#define COUNTERSIGN_PROXY_ADMIN_CLUSTER_INFO_H_

#include <cstdint>
#include <string>
#include <vector>

#include "proxy/config/cluster.h"

namespace countersign::admin {

// One endpoint as one worker sees it, or as all of them together do.
struct HostInfo {
  config::Endpoint endpoint;
  bool failed_check = false;   // active health checks
  bool ejected = false;        // outlier detection
  bool failed_lately = false;  // a connection failed: others go first
  bool removed = false;        // no longer configured, its last streams run out
  uint64_t active = 0;         // requests that wait or run, and TCP connections
  double rtt_ms = 0;           // peak EWMA; 0: not measured
  // HTTP, since the workers know it.
  uint64_t requests = 0;   // that came to an end, one way or another
  uint64_t successes = 0;  // with a status below 500
  uint64_t failures = 0;
  uint64_t connections = 0;  // now
  uint64_t connections_opened = 0;
  uint64_t connect_failures = 0;
  uint64_t ejections = 0;  // times in a row that outlier detection has ejected it
};

// A circuit breaker.
struct LimitInfo {
  std::string name;    // connections, pending, requests, retries
  uint64_t limit = 0;  // of all workers together
  uint64_t count = 0;
  uint64_t overflows = 0;  // how often it refused
};

struct ClusterInfo {
  std::string name;
  std::string service;
  std::string service_namespace;
  config::AppProtocol protocol = config::AppProtocol::kAuto;
  config::LbPolicy lb_policy = config::LbPolicy::kLeastRequest;
  std::vector<LimitInfo> limits;
  std::vector<HostInfo> hosts;
};

}  // namespace countersign::admin

#endif  // COUNTERSIGN_PROXY_ADMIN_CLUSTER_INFO_H_
