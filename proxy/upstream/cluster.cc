#include "proxy/upstream/cluster.h"

#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "proxy/upstream/cluster_table.h"
#include "proxy/upstream/lb/peak_ewma.h"

namespace countersign::upstream {
namespace {

// A host that refused a connection is tried last for this long.
constexpr std::chrono::seconds kFailedFor{5};

// Whether `b` is the same place as `a`, with the same name: what is known of one holds for the
// other. Weights, priorities and health may differ.
bool SamePlace(const config::Endpoint& a, const config::Endpoint& b) {
  return a.address == b.address && a.transport == b.transport && a.tunnel == b.tunnel &&
         a.mesh_http == b.mesh_http && a.identity == b.identity && a.workload == b.workload &&
         a.workload_namespace == b.workload_namespace;
}

// What leads back to our own pod leaves by `lo`, where nothing captures it: nobody but the
// application answers on its port there, while our own tunnel port can be reached. Another replica
// of our workload has another address, and a sidecar of its own.
config::Endpoint AsReached(const config::Endpoint& endpoint, ClusterShared& shared) {
  config::Endpoint reached = endpoint;
  if (reached.weight == 0) reached.weight = 1;
  if (shared.workload.empty() || endpoint.workload != shared.workload ||
      endpoint.workload_namespace != shared.workload_namespace ||
      !shared.local.Contains(endpoint.address.ip(), shared.dispatcher.now())) {
    return reached;
  }
  reached.mesh_http = false;
  if (reached.transport == config::EndpointTransport::kTls) {
    reached.transport = config::EndpointTransport::kPlaintext;
  }
  return reached;
}

template <typename Call>
void ForEachPool(Host& host, Call call) {
  for (const auto* pool : {&host.http1_pool, &host.http2_pool}) {
    if (*pool != nullptr) call(static_cast<HttpPool&>(**pool));
  }
}

std::string NameOf(const Host& host) {
  const config::Endpoint& endpoint = host.endpoint;
  if (endpoint.workload.empty()) return endpoint.address.ToString();
  return absl::StrCat(endpoint.workload_namespace, "/", endpoint.workload, " at ",
                      endpoint.address.ToString());
}

}  // namespace

Cluster::Cluster(ClusterShared& shared, std::shared_ptr<const config::Cluster> config)
    : shared_(shared),
      config_(std::move(config)),
      breakers_(config_->breakers),
      outliers_(shared.dispatcher, static_cast<OutlierDetector::Owner&>(*this), config_->outlier),
      checker_(shared, static_cast<HealthChecker::Owner&>(*this)),
      stats_(*shared.stats, config_->name) {
  SetHosts();
}

Cluster::~Cluster() = default;

void Cluster::Update(std::shared_ptr<const config::Cluster> config) {
  if (config == config_) return;
  const bool same = *config == *config_;
  const bool same_pools = config->pool == config_->pool && config->protocol == config_->protocol;
  config_ = std::move(config);
  breakers_.SetLimits(config_->breakers);
  levels_.reset();  // it borrows the configuration
  if (same) return;
  SetHosts();
  outliers_.SetConfig(config_->outlier);
  if (same_pools) return;
  // Connections have their limits for life.
  for (const auto& host : hosts_) ForEachPool(*host, [](HttpPool& pool) { pool.RetireAll(); });
}

void Cluster::SetHosts() {
  std::vector<std::unique_ptr<Host>> old = std::move(hosts_);
  hosts_.clear();
  hosts_.reserve(config_->endpoints.size());
  absl::flat_hash_map<net::Address, size_t> by_address;
  for (size_t i = 0; i < old.size(); ++i) by_address.emplace(old[i]->endpoint.address, i);
  const event::Instant now = shared_.dispatcher.now();
  for (const config::Endpoint& configured : config_->endpoints) {
    config::Endpoint endpoint = AsReached(configured, shared_);
    const auto known = by_address.find(endpoint.address);
    std::unique_ptr<Host> host;
    if (known != by_address.end() && old[known->second] != nullptr &&
        SamePlace(old[known->second]->endpoint, endpoint)) {
      host = std::move(old[known->second]);
      if (endpoint.healthy && !host->endpoint.healthy) host->healthy_since = now;
    } else {
      host = std::make_unique<Host>();
      host->cluster = this;
      host->healthy_since = now;
    }
    host->endpoint = std::move(endpoint);
    hosts_.push_back(std::move(host));
  }
  levels_.reset();
  outliers_.OnHostsChanged();
  checker_.Update(*config_, hosts_);  // lets go of those that went
  for (std::unique_ptr<Host>& host : old) {
    if (host != nullptr) Retire(std::move(host));
  }
  CountHosts();
}

void Cluster::CountHosts() {
  size_t usable = 0, ejected = 0, failed_check = 0;
  for (const auto& host : hosts_) {
    usable += host->usable();
    ejected += host->ejected;
    failed_check += host->failed_check;
  }
  stats_.SetHosts(hosts_.size(), usable, ejected, failed_check);
}

void Cluster::Retire(std::unique_ptr<Host> host) {
  host->removed = true;
  if (host->holds > 0) {
    (void)host.release();  // whoever holds it last deletes it: Release
    return;
  }
  ShutPools(*host);
  shared_.dispatcher.DeferredDelete(std::move(host));
}

void Cluster::ShutPools(Host& host) {
  ForEachPool(host, [](HttpPool& pool) { pool.Shutdown(); });
}

void Cluster::Shutdown() {
  checker_.Stop();
  for (const auto& host : hosts_) ShutPools(*host);
  stats_.Release();
}

Host* Cluster::ChooseHost(const LoadBalancerContext& context) {
  if (!levels_.has_value()) levels_.emplace(*config_, shared_.locality, hosts_, shared_.random);
  return levels_->Choose(context, shared_.dispatcher.now());
}

void Cluster::OnConnectFailed(Host& host) {
  host.failed_until = shared_.dispatcher.now() + kFailedFor;
}

void Cluster::NewStream(Host& host, HttpStreamRequest& request) {
  const config::Endpoint& endpoint = host.endpoint;
  const bool mesh = endpoint.transport == config::EndpointTransport::kTls ||
                    (endpoint.transport == config::EndpointTransport::kHbone && endpoint.mesh_http);
  const bool http2 = mesh || config_->protocol == config::AppProtocol::kHttp2 ||
                     (config_->protocol == config::AppProtocol::kAuto &&
                      request.downstream_protocol() == http::Protocol::kHttp2);
  std::unique_ptr<event::Deferred>& pool = http2 ? host.http2_pool : host.http1_pool;
  if (pool == nullptr) {
    pool = std::make_unique<HttpPool>(shared_, static_cast<HttpPool::Owner&>(*this), host,
                                      http2 ? http::Protocol::kHttp2 : http::Protocol::kHttp11);
  }
  static_cast<HttpPool&>(*pool).NewStream(request);
}

void Cluster::OnLoad(Host& host, int change) {
  if (change > 0) {
    Hold(host);
    ++host.active;
  } else {
    --host.active;
    Release(&host);
  }
}

void Cluster::OnConnectionOpened(Host& host) {
  ++host.connections_opened;
  ++host.connections;
  stats_.OnConnectionOpened();
}

void Cluster::OnConnectionEnded(Host& host, bool opened, buffer::CloseReason reason,
                                const std::string& explanation) {
  stats_.OnConnectionEnded(opened, reason);
  if (opened) {
    --host.connections;
  } else if (reason == buffer::CloseReason::kNoResources) {
    // Ours, not the host's.
    shared_.observer.OnNoResources(
        absl::StrCat("cannot connect to ", NameOf(host), ": ", explanation));
  } else if (reason != buffer::CloseReason::kFinished) {
    ++host.connect_failures;
    OnConnectFailed(host);
  }
}

void Cluster::OnOverflow(CircuitBreakers::Kind breaker) { stats_.OnOverflow(breaker); }

void Cluster::OnOutcome(Host& host, const Outcome& outcome) {
  ++host.requests;
  ++(outcome.failed() ? host.failures : host.successes);
  PeakEwma::Observe(*config_, outcome.latency, outcome.failed(), shared_.dispatcher.now(), &host);
  outliers_.OnOutcome(host, outcome);
}

void Cluster::OnUsabilityChanged(Host& host) {
  if (host.usable()) host.healthy_since = shared_.dispatcher.now();
  levels_.reset();
  CountHosts();
}

void Cluster::OnEjected(Host& host, EjectionCause cause, const std::string& sentence) {
  stats_.OnEjected(cause);
  shared_.log.Warn(
      absl::StrCat("ejected ", NameOf(host), " from cluster ", config_->name, " ", sentence));
  OnUsabilityChanged(host);
}

void Cluster::OnUnejected(Host& host) {
  shared_.log.Info(absl::StrCat("took ", NameOf(host), " back into cluster ", config_->name));
  OnUsabilityChanged(host);
}

void Cluster::OnEjectionRefused(Host&, EjectionCause cause) { stats_.OnEjectionRefused(cause); }

void Cluster::OnHealthChanged(Host& host, const std::string& sentence) {
  if (host.failed_check) {
    shared_.log.Warn(absl::StrCat(NameOf(host), " of cluster ", config_->name,
                                  " fails its health check: ", sentence));
  } else {
    shared_.log.Info(absl::StrCat(NameOf(host), " of cluster ", config_->name,
                                  " passes its health check: ", sentence));
  }
  OnUsabilityChanged(host);
}

void Cluster::OnChecked(Host&, bool passed) { stats_.OnChecked(passed); }

bool Cluster::BeginRetry() {
  const bool may = breakers_.TryAdd(CircuitBreakers::Kind::kRetries);
  if (!may) OnOverflow(CircuitBreakers::Kind::kRetries);
  OnRequestEvent(may ? RequestEvent::kRetry : RequestEvent::kRetryOverflow);
  return may;
}

void Cluster::EndRetry() { breakers_.Remove(CircuitBreakers::Kind::kRetries); }

void Cluster::Hold(Host& host) {
  if (host.holds++ == 0) Ref(host.cluster);
}

void Cluster::Release(Host* host) {
  if (host == nullptr || --host->holds > 0) return;
  Cluster* cluster = host->cluster;
  if (host->removed) {
    // Perhaps in a callback of one of its own connections.
    ShutPools(*host);
    cluster->shared_.dispatcher.DeferredDelete(std::unique_ptr<event::Deferred>(host));
  }
  Unref(cluster);
}

bool Cluster::BeginConnection(Host& host) {
  Cluster& cluster = *host.cluster;
  if (!cluster.breakers_.TryAdd(CircuitBreakers::Kind::kConnections)) {
    cluster.OnOverflow(CircuitBreakers::Kind::kConnections);
    return false;
  }
  cluster.OnLoad(host, 1);
  return true;
}

void Cluster::EndConnection(Host* host) {
  if (host == nullptr) return;
  host->cluster->breakers_.Remove(CircuitBreakers::Kind::kConnections);
  host->cluster->OnLoad(*host, -1);
}

void Cluster::Unref(Cluster* cluster) {
  if (cluster != nullptr && --cluster->refs_ == 0) cluster->shared_.table->Drop(*cluster);
}

}  // namespace countersign::upstream
