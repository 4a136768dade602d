#include "proxy/upstream/cluster_table.h"

#include <random>
#include <utility>

namespace countersign::upstream {

ClusterTable::ClusterTable(event::Dispatcher& dispatcher)
    : shared_{*this, dispatcher, Random(std::random_device{}()), {}} {}

ClusterTable::~ClusterTable() = default;

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
  // Perhaps in one of its own callbacks.
  shared_.dispatcher.DeferredDelete(std::move(it->second));
  clusters_.erase(it);
}

}  // namespace countersign::upstream
