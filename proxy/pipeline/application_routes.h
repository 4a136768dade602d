// How HTTP requests come to the proxy's own application.
#ifndef COUNTERSIGN_PROXY_PIPELINE_APPLICATION_ROUTES_H_
#define COUNTERSIGN_PROXY_PIPELINE_APPLICATION_ROUTES_H_

#include <chrono>
#include <cstdint>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "api/net/address.h"
#include "proxy/config/cluster.h"
#include "proxy/filter/http_routes.h"
#include "proxy/upstream/cluster_table.h"

namespace countersign::pipeline {

// One a worker. For each port of the application one built-in route that takes every request to a
// cluster with that one endpoint.
class ApplicationRoutes {
 public:
  ApplicationRoutes(upstream::ClusterTable& clusters, std::chrono::milliseconds connect_timeout)
      : clusters_(clusters), connect_timeout_(connect_timeout) {}
  ApplicationRoutes(const ApplicationRoutes&) = delete;
  ApplicationRoutes& operator=(const ApplicationRoutes&) = delete;
  ~ApplicationRoutes();

  // Borrowed until the next call: whoever keeps it takes a reference.
  filter::HttpRoutes& To(const net::Address& application, config::AppProtocol protocol);

 private:
  // Beyond it those that no connection uses are dropped: a captured port is anything that anybody
  // has dialled.
  static constexpr size_t kMaxKept = 64;
  using Key = std::pair<net::Address, config::AppProtocol>;

  upstream::ClusterTable& clusters_;
  const std::chrono::milliseconds connect_timeout_;
  absl::flat_hash_map<Key, filter::HttpRoutes*> routes_;
};

}  // namespace countersign::pipeline

#endif  // COUNTERSIGN_PROXY_PIPELINE_APPLICATION_ROUTES_H_
