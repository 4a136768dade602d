#include "proxy/upstream/cluster_table.h"

#include <random>
#include <utility>

namespace countersign::upstream {

ClusterTable::ClusterTable(event::Dispatcher& dispatcher, tls::PeerVerifier& verifier,
                           HbonePool& tunnels, PoolObserver& observer, stats::Registry& stats)
    : shared_{{dispatcher,
               verifier,
               tunnels,
               observer,
               Random(std::random_device{}()),
               {},
               {},
               {},
               &lingering_},
              this,
              &stats,
              EventLog(dispatcher.clock()),
              {},
              {},
              {},
              {}},
      lingering_(dispatcher) {}

ClusterTable::~ClusterTable() = default;

void ClusterTable::SetWorkload(std::string name, std::string workload_namespace) {
  shared_.workload = std::move(name);
  shared_.workload_namespace = std::move(workload_namespace);
}

void ClusterTable::SetLocality(const config::Locality& locality) {
  if (locality == shared_.locality) return;
  shared_.locality = locality;
  for (const auto& [name, cluster] : clusters_) cluster->levels_.reset();
}

void ClusterTable::SetContext(std::shared_ptr<const tls::TlsContext> context) {
  shared_.context = std::move(context);
  shared_.connections.ForEach([](ClientConnection& connection) {
    if (connection.mesh()) connection.Retire();
  });
}

int ClusterTable::CloseIf(const std::function<bool(const spiffe::PeerSvid&)>& denied,
                          buffer::CloseReason reason) {
  int closed = 0;
  shared_.connections.ForEach([&](ClientConnection& connection) {
    const auto& peer = connection.info().peer;
    if (peer == nullptr || !denied(*peer)) return;
    connection.Abort(reason);
    ++closed;
  });
  return closed;
}

ClusterRef ClusterTable::Acquire(std::shared_ptr<const config::Cluster> config) {
  const auto it = clusters_.find(config->name);
  if (it != clusters_.end()) {
    it->second->Update(std::move(config));
    return ClusterRef(it->second.get());
  }
  auto cluster = std::unique_ptr<Cluster>(new Cluster(shared_, std::move(config)));
  Cluster* added = cluster.get();
  clusters_.emplace(added->config().name, std::move(cluster));
  return ClusterRef(added);
}

Cluster* ClusterTable::Find(absl::string_view name) const {
  const auto it = clusters_.find(name);
  return it == clusters_.end() ? nullptr : it->second.get();
}

void ClusterTable::Drop(Cluster& cluster) {
  const auto it = clusters_.find(cluster.config().name);
  cluster.Shutdown();
  // Perhaps in one of its own callbacks.
  shared_.dispatcher.DeferredDelete(std::move(it->second));
  clusters_.erase(it);
}

}  // namespace countersign::upstream
