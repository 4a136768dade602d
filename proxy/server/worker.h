// One event loop and all that it owns: accept sockets, connections, pools, counters.
#ifndef COUNTERSIGN_PROXY_SERVER_WORKER_H_
#define COUNTERSIGN_PROXY_SERVER_WORKER_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/status/status.h"
#include "api/net/address.h"
#include "proxy/access_log/access_log.h"
#include "proxy/admin/cluster_info.h"
#include "proxy/config/discovery.h"
#include "proxy/identity/secret_snapshot.h"
#include "proxy/pipeline/connection_info.h"
#include "proxy/stats/registry.h"
#include "proxy/trace/span.h"

namespace countersign::server {

// A listener without netfilter: what connects to `listen` is treated as captured on its way to
// `destination`.
struct Forward {
  net::Address listen;
  net::Address destination;
};

struct WorkerOptions {
  // One address per family for each of the capture and tunnel ports; an empty list turns that
  // listener off.
  std::vector<net::Address> outbound_listen;  // 15001
  std::vector<net::Address> inbound_listen;   // 15006
  std::vector<net::Address> hbone_listen;     // 15008
  std::vector<Forward> forwards;
  // The same for the inbound side: what connects to `listen` is treated as captured on its way to
  // the application at `destination`.
  std::vector<Forward> inbound_forwards;
  std::vector<net::Address> admin_listen;          // refused as a destination (loops)
  std::chrono::milliseconds hold_timeout{10'000};  // waiting for identity or configuration
  uint32_t max_held_connections = 1024;
  uint32_t max_connections =
      65'536;  // of this worker, both directions; beyond it the newest is refused
  std::chrono::milliseconds handshake_timeout{10'000};
  // How long a connection may outlive the certificate that its peer made it with.
  std::chrono::milliseconds expiry_grace{std::chrono::hours(24)};
  uint32_t max_requests = 65'536;                 // HTTP, at a time
  size_t max_buffered_bytes = size_t{256} << 20;  // on their way through this worker
  uint32_t max_streams_per_tunnel = 100;
  access_log::AccessLog* access_log = nullptr;  // null: none is kept; outlives the worker
  trace::SpanSink* span_sink = nullptr;         // null: nobody collects; outlives the worker
  std::string workload;                         // this proxy's own names, for metrics
  std::string workload_namespace;
};

using pipeline::ConnectionInfo;

// Lifetime: made and destroyed on the main thread; its loop runs on a thread of its own between
// Start and Stop. Every public function may be called from the main thread; what they bring takes
// effect on the worker's.
class Worker : public config::ConfigSink, public identity::SecretSink {
 public:
  // `discovery` and `stats` outlive the worker.
  Worker(WorkerOptions options, config::Discovery& discovery, stats::Registry& stats);
  ~Worker() override;

  // Binds every listener (SO_REUSEPORT) and starts the thread. Errors name the address and what to
  // do.
  absl::Status Start();
  // Ends the loop, closes what is left and joins the thread.
  void Stop();

  void OnProxyConfig(std::shared_ptr<const config::ProxyConfig> config) override;
  void OnDestination(const net::Address& original_destination,
                     std::shared_ptr<const config::Destination> destination) override;
  void OnSecret(std::shared_ptr<const identity::SecretSnapshot> secret) override;

  // Inbound tunnels get GOAWAY, stragglers are still served; outbound goes on to the last.
  // `drained` runs on the worker's thread once no inbound connection is left.
  void StartDrain(std::function<void()> drained);

  // Calls `done` on the worker's thread with at most `limit` connections.
  void CollectConnections(size_t limit, std::function<void(std::vector<ConnectionInfo>)> done);
  // The same for the clusters that the worker uses.
  void CollectClusters(std::function<void(std::vector<admin::ClusterInfo>)> done);

 private:
  class Loop;
  std::unique_ptr<Loop> loop_;
};

}  // namespace countersign::server

#endif  // COUNTERSIGN_PROXY_SERVER_WORKER_H_
