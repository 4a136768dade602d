// A cluster at work: hosts and their health, balancing, limits, pools.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_CLUSTER_H_
#define COUNTERSIGN_PROXY_UPSTREAM_CLUSTER_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "absl/types/span.h"
#include "proxy/config/cluster.h"
#include "proxy/event/dispatcher.h"
#include "proxy/net/local_addresses.h"
#include "proxy/upstream/circuit_breakers.h"
#include "proxy/upstream/cluster_stats.h"
#include "proxy/upstream/event_log.h"
#include "proxy/upstream/health/health_checker.h"
#include "proxy/upstream/health/outlier_detector.h"
#include "proxy/upstream/host.h"
#include "proxy/upstream/http_stream_request.h"
#include "proxy/upstream/lb/host_levels.h"
#include "proxy/upstream/lb/load_balancer.h"
#include "proxy/upstream/outcome.h"
#include "proxy/upstream/pool/http_pool.h"
#include "proxy/upstream/pool/pool_shared.h"

namespace countersign::upstream {

class ClusterTable;

// What the clusters of one worker have in common; the table's.
struct ClusterShared : PoolShared {
  ClusterTable* table;
  stats::Registry* stats;
  EventLog log;
  config::Locality locality;  // of this proxy
  std::string workload;       // this proxy's own
  std::string workload_namespace;
  net::LocalAddresses local;
};

// One a worker and name, shared by the destinations and routes that lead to it; ClusterTable owns
// it, ClusterRef and held hosts keep it alive. On its worker's thread.
class Cluster final : public event::Deferred,
                      private HttpPool::Owner,
                      private OutlierDetector::Owner,
                      private HealthChecker::Owner {
 public:
  ~Cluster() override;
  const config::Cluster& config() const override { return *config_; }
  absl::Span<const std::unique_ptr<Host>> hosts() const { return hosts_; }

  // Null: there is none, or none that may be used. The caller holds it at once, if it keeps it.
  Host* ChooseHost(const LoadBalancerContext& context);
  // A stream to `host`, which stays valid (counted) until the stream's end. Counts against the
  // circuit breakers. HTTP/2 where the mesh or the endpoint speaks it; where nobody said what the
  // endpoint speaks, what the downstream speaks.
  void NewStream(Host& host, HttpStreamRequest& request);
  void OnOutcome(Host& host, const Outcome& outcome);

  // The retry breaker and budget. True must be followed by EndRetry once that try is over.
  bool BeginRetry();
  void EndRetry();
  // For /metrics; BeginRetry counts its own.
  void OnRequestEvent(RequestEvent event) { stats_.OnRequestEvent(event); }

  const CircuitBreakers& circuit_breakers() const { return breakers_; }

  // A held host, and its cluster, stay valid. Null is ignored by Release.
  static void Hold(Host& host);
  static void Release(Host* host);
  // The same for a TCP connection, which is load, and one of those that the breaker counts. False:
  // it is open; `host` is not held then.
  static bool BeginConnection(Host& host);
  static void EndConnection(Host* host);
  // A connection failed: others go first for a while.
  void OnConnectFailed(Host& host);

 private:
  friend class ClusterRef;
  friend class ClusterTable;
  Cluster(ClusterShared& shared, std::shared_ptr<const config::Cluster> config);

  static void Ref(Cluster* cluster) {
    if (cluster != nullptr) ++cluster->refs_;
  }
  static void Unref(Cluster* cluster);

  // HttpPool::Owner
  void OnLoad(Host& host, int change) override;
  void OnConnectionOpened(Host& host) override;
  void OnConnectionEnded(Host& host, bool opened, buffer::CloseReason reason,
                         const std::string& explanation) override;
  void OnOverflow(CircuitBreakers::Kind breaker) override;
  CircuitBreakers& breakers() override { return breakers_; }

  // OutlierDetector::Owner
  absl::Span<const std::unique_ptr<Host>> judged_hosts() const override { return hosts_; }
  void OnEjected(Host& host, EjectionCause cause, const std::string& sentence) override;
  void OnUnejected(Host& host) override;
  void OnEjectionRefused(Host& host, EjectionCause cause) override;
  // HealthChecker::Owner
  void OnHealthChanged(Host& host, const std::string& sentence) override;
  void OnChecked(Host& host, bool passed) override;

  void OnUsabilityChanged(Host& host);
  void Update(std::shared_ptr<const config::Cluster> config);
  void SetHosts();
  void CountHosts();
  void Retire(std::unique_ptr<Host> host);
  static void ShutPools(Host& host);
  // Nobody has a share in it any more.
  void Shutdown();

  ClusterShared& shared_;
  std::shared_ptr<const config::Cluster> config_;
  uint32_t refs_ = 0;
  std::vector<std::unique_ptr<Host>> hosts_;
  CircuitBreakers breakers_;
  OutlierDetector outliers_;
  HealthChecker checker_;
  ClusterStats stats_;
  std::optional<HostLevels> levels_;  // none: to be made anew at the next choice
};

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_CLUSTER_H_
