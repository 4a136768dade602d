// Everything that the proxy is told at start-up.
#ifndef COUNTERSIGN_PROXY_SERVER_OPTIONS_H_
#define COUNTERSIGN_PROXY_SERVER_OPTIONS_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "api/net/address.h"
#include "proxy/access_log/access_log.h"
#include "proxy/server/worker.h"

namespace countersign::server {

struct Options {
  std::string control;  // host:port of the control plane
  std::string trust_bundle_file;
  std::string trust_domain = "cluster.local";
  std::string join_token_file;  // empty: none
  std::string workload;
  std::string workload_namespace;

  std::vector<net::Address> admin_listen;    // loopback only
  std::vector<net::Address> metrics_listen;  // 15020
  std::vector<net::Address> ready_listen;    // 15021
  std::vector<net::Address> outbound_listen;
  std::vector<net::Address> inbound_listen;
  std::vector<net::Address> hbone_listen;
  std::vector<Forward> forwards;
  std::vector<Forward> inbound_forwards;

  access_log::AccessLogOptions access_log;  // with an empty path: none
  std::string otlp_endpoint;                // host:port of a collector; empty: none
  bool otlp_tls = false;
  std::string otlp_ca_file;       // with otlp_tls; empty: the system's authorities
  std::string otlp_service_name;  // empty: WORKLOAD.NAMESPACE
  uint32_t concurrency = 1;
  // Of one worker each: see WorkerOptions.
  uint32_t max_connections = 65'536;
  uint32_t max_requests = 65'536;
  size_t max_buffered_bytes = size_t{256} << 20;
  std::chrono::milliseconds drain_time{45'000};
  std::chrono::milliseconds hold_time{10'000};
  std::chrono::milliseconds expiry_grace{std::chrono::hours(24)};

  // Name and value of each flag as given, for /config_dump.
  std::vector<std::pair<std::string, std::string>> flags;
};

}  // namespace countersign::server

#endif  // COUNTERSIGN_PROXY_SERVER_OPTIONS_H_
