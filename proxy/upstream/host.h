// An endpoint with what one worker has seen of it.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_HOST_H_
#define COUNTERSIGN_PROXY_UPSTREAM_HOST_H_

#include <cstdint>
#include <memory>
#include <string>

#include "proxy/config/cluster.h"
#include "proxy/event/dispatcher.h"
#include "proxy/stats/registry.h"
#include "proxy/stats/request_cells.h"

namespace countersign::upstream {

class Cluster;

// The counters of the TCP traffic with one host, looked up once.
struct TcpCells {
  stats::Cell* opened = nullptr;
  stats::Cell* closed = nullptr;
  stats::Cell* sent = nullptr;
  stats::Cell* received = nullptr;
};

// What outlier detection remembers of a host.
struct OutlierState {
  uint32_t consecutive_5xx = 0;
  uint32_t consecutive_gateway_failures = 0;
  uint32_t requests = 0;  // in this interval
  uint32_t successes = 0;
  uint32_t ejections = 0;  // multiplies the time of the next one
  event::Instant ejected_until{};
};

// Belongs to its cluster, on its worker's thread. It outlives its removal from the configuration as
// long as somebody holds it (Cluster::Hold), and keeps its cluster alive meanwhile.
struct Host final : event::Deferred {
  config::Endpoint endpoint;
  Cluster* cluster = nullptr;
  uint32_t holds = 0;
  uint32_t active = 0;  // its load: requests that wait or run, and TCP connections

  bool removed = false;            // the configuration has it no more
  bool failed_check = false;       // active health checks say so
  bool ejected = false;            // outlier detection says so
  event::Instant failed_until{};   // a connection failed lately: others go first
  event::Instant healthy_since{};  // slow start counts from here

  OutlierState outlier;

  // Since this worker knows it, for /clusters.
  uint64_t requests = 0;   // that came to an end, one way or another
  uint64_t successes = 0;  // with a status below 500
  uint64_t failures = 0;
  uint64_t connections_opened = 0;
  uint64_t connect_failures = 0;
  uint32_t connections = 0;  // HTTP, now

  // Peak EWMA: the round trip in microseconds, as it was at `rtt_at`. 0: none measured.
  float rtt = 0;
  event::Instant rtt_at{};

  // Its HTTP connections, each an HttpPool; made at the first request.
  std::unique_ptr<event::Deferred> http1_pool;
  std::unique_ptr<event::Deferred> http2_pool;

  TcpCells cells;
  std::unique_ptr<stats::RequestCells> request_cells;  // made by whoever counts, at the first

  // By active checks and outlier detection. The third source, the control plane, has left out what
  // must not be used; what it marked is degraded.
  bool usable() const { return !failed_check && !ejected; }
  bool degraded() const { return !endpoint.healthy; }
  bool healthy() const { return usable() && !degraded(); }
};

// For sentences: whose endpoint, where, and how it is reached by HTTP or as TCP.
std::string Whereabouts(const config::Endpoint& endpoint, bool http);

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_HOST_H_
