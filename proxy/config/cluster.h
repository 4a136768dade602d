// A group of endpoints that do the same work, and how it is called. Pure, immutable data. Meanings
// and defaults are those of Envoy's cluster.v3.
#ifndef COUNTERSIGN_PROXY_CONFIG_CLUSTER_H_
#define COUNTERSIGN_PROXY_CONFIG_CLUSTER_H_

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "api/net/address.h"
#include "api/spiffe/spiffe_id.h"

namespace countersign::config {

enum class EndpointTransport : uint8_t {
  kPlaintext,  // no sidecar there, or its policy says DISABLE
  kTls,    // mesh mTLS on the application's own port: TCP with the mesh ALPN, HTTP with the mesh's
           // HTTP/2 ALPN
  kHbone,  // HTTP/2 CONNECT over mTLS to `tunnel`
};

// What an application speaks on a port.
enum class AppProtocol : uint8_t {
  kAuto,   // nobody said: the first bytes tell
  kTcp,    // opaque
  kHttp1,  // `http`
  kHttp2,  // `http2`, `kubernetes.io/h2c`, `grpc`, `grpc-web`
};

constexpr bool DeclaresHttp(AppProtocol protocol) {
  return protocol == AppProtocol::kHttp1 || protocol == AppProtocol::kHttp2;
}

struct Locality {
  std::string region;
  std::string zone;
  std::string sub_zone;
  bool operator==(const Locality&) const = default;
};

struct Endpoint {
  net::Address address;  // where the application listens
  EndpointTransport transport = EndpointTransport::kPlaintext;
  net::Address tunnel;  // kHbone only
  // kHbone: the sidecar there also takes the mesh's HTTP/2 on the application's own port, so HTTP
  // need not go through the tunnel.
  bool mesh_http = false;
  spiffe::SpiffeId identity;  // kTls and kHbone: the one ID that may answer, compared exactly
  std::string workload;       // names for metrics and logs; may be empty
  std::string workload_namespace;
  uint32_t weight = 1;
  uint32_t priority = 0;  // 0 is the first choice
  Locality locality;
  bool healthy =
      true;  // as the control plane says (EDS health_status); what it left out is not here at all

  bool operator==(const Endpoint&) const = default;
};

enum class LbPolicy : uint8_t {
  kRoundRobin,
  kLeastRequest,
  kRandom,
  kPeakEwma,
  kRingHash,
  kMaglev
};

struct HealthCheck {
  enum class Kind : uint8_t { kHttp, kGrpc, kTcp };
  Kind kind = Kind::kTcp;
  std::chrono::milliseconds timeout{1'000};
  std::chrono::milliseconds interval{10'000};
  std::chrono::milliseconds interval_jitter{1'000};
  uint32_t unhealthy_threshold = 3;
  uint32_t healthy_threshold = 2;
  std::string path = "/";       // kHttp
  std::string host;             // kHttp; empty: the endpoint's address and port
  std::string grpc_service;     // kGrpc
  uint16_t status_begin = 200;  // kHttp: [begin, end)
  uint16_t status_end = 300;

  bool operator==(const HealthCheck&) const = default;
};

struct OutlierDetection {
  bool enabled = false;
  std::chrono::milliseconds interval{10'000};
  std::chrono::milliseconds base_ejection_time{30'000};
  std::chrono::milliseconds max_ejection_time{300'000};
  uint32_t max_ejection_percent = 10;  // of the hosts; at least one host may be ejected
  uint32_t consecutive_5xx = 5;        // 0: off
  uint32_t consecutive_gateway_failure = 0;
  bool success_rate = true;
  uint32_t success_rate_minimum_hosts = 5;
  uint32_t success_rate_request_volume = 100;
  uint32_t success_rate_stdev_factor = 1900;  // thousandths

  bool operator==(const OutlierDetection&) const = default;
};

// Of one worker each.
struct CircuitBreakers {
  // As many as the proxy takes itself, where Envoy has 1024 each: nobody expects of a mesh that it
  // refuses a database's 1025th client.
  uint32_t max_connections = 1024 * 64;
  uint32_t max_pending_requests = 1024;
  uint32_t max_requests = 1024 * 64;
  uint32_t max_retries = 3;
  // Above max_retries' floor, this share of the active requests may be retries.
  uint32_t retry_budget_percent = 20;

  bool operator==(const CircuitBreakers&) const = default;
};

struct PoolOptions {
  uint32_t max_requests_per_connection = 0;         // 0: no limit
  std::chrono::milliseconds max_connection_age{0};  // 0: none beyond the certificate's life
  std::chrono::milliseconds idle_timeout{60'000};
  uint32_t max_concurrent_streams = 100;  // of one HTTP/2 connection
  // HTTP/2 connections are opened so that this many streams in a hundred find room; 100: on demand.
  uint32_t preconnect_percent = 100;

  bool operator==(const PoolOptions&) const = default;
};

struct Cluster {
  std::string name;
  std::string service;  // Service name and namespace for metrics; empty for pod-IP traffic
  std::string service_namespace;
  std::chrono::milliseconds connect_timeout{5'000};
  AppProtocol protocol = AppProtocol::kAuto;
  LbPolicy lb_policy = LbPolicy::kLeastRequest;
  uint64_t ring_minimum = 1024;
  uint64_t ring_maximum = 8192 * 1024;
  uint32_t maglev_table = 65'537;  // a prime
  uint32_t choice_count = 2;       // least request
  std::chrono::milliseconds ewma_decay{10'000};
  std::chrono::milliseconds slow_start{0};  // 0: off
  double slow_start_aggression = 1.0;
  uint32_t slow_start_min_weight_percent = 10;
  bool prefer_locality =
      true;  // the proxy's own zone, then region, as long as enough of it is healthy
  uint32_t overprovisioning_percent = 140;
  uint32_t panic_percent = 50;  // fewer healthy hosts than this: all are used
  std::vector<HealthCheck> health_checks;
  OutlierDetection outlier;
  CircuitBreakers breakers;
  PoolOptions pool;
  std::vector<Endpoint> endpoints;

  bool operator==(const Cluster&) const = default;
};

}  // namespace countersign::config

#endif  // COUNTERSIGN_PROXY_CONFIG_CLUSTER_H_
