// The clusters that one worker uses, by name.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_CLUSTER_TABLE_H_
#define COUNTERSIGN_PROXY_UPSTREAM_CLUSTER_TABLE_H_

#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "proxy/config/cluster.h"
#include "proxy/upstream/cluster.h"
#include "proxy/upstream/pool/lingering_connections.h"

namespace countersign::upstream {

// A share in a cluster, which lives as long as anybody has one. Of the worker's thread.
class ClusterRef {
 public:
  ClusterRef() = default;
  explicit ClusterRef(Cluster* cluster) : cluster_(cluster) { Cluster::Ref(cluster); }
  ClusterRef(const ClusterRef& other) : ClusterRef(other.cluster_) {}
  ClusterRef(ClusterRef&& other) noexcept : cluster_(std::exchange(other.cluster_, nullptr)) {}
  ClusterRef& operator=(ClusterRef other) noexcept {
    std::swap(cluster_, other.cluster_);
    return *this;
  }
  ~ClusterRef() { Cluster::Unref(cluster_); }

  Cluster* get() const { return cluster_; }
  Cluster* operator->() const { return cluster_; }
  Cluster& operator*() const { return *cluster_; }
  explicit operator bool() const { return cluster_ != nullptr; }

 private:
  Cluster* cluster_ = nullptr;
};

// One a worker, on its thread; outlives whoever holds a share.
class ClusterTable {
 public:
  // All of them outlive the table.
  ClusterTable(event::Dispatcher& dispatcher, tls::PeerVerifier& verifier, HbonePool& tunnels,
               PoolObserver& observer, stats::Registry& stats);
  ClusterTable(const ClusterTable&) = delete;
  ClusterTable& operator=(const ClusterTable&) = delete;
  ~ClusterTable();

  // The cluster of that name, made or brought up to date: hosts that stay keep their state.
  ClusterRef Acquire(std::shared_ptr<const config::Cluster> config);
  // Null: nobody uses one of that name.
  Cluster* Find(absl::string_view name) const;
  size_t size() const { return clusters_.size(); }
  // Calls `call(cluster)` for each; for pages.
  template <typename Call>
  void ForEach(Call call) const {
    for (const auto& [name, cluster] : clusters_) call(*cluster);
  }

  // Null: no certificate yet (requests to mesh endpoints fail). Connections with the old one take
  // no new requests.
  void SetContext(std::shared_ptr<const tls::TlsContext> context);
  // Ends every mesh connection whose peer `denied` says yes to, and returns how many.
  int CloseIf(const std::function<bool(const spiffe::PeerSvid&)>& denied,
              buffer::CloseReason reason);

  // Whose proxy this is, before any cluster is acquired: endpoints of that workload are ourselves.
  void SetWorkload(std::string name, std::string workload_namespace);
  // Where this proxy runs, for nearness.
  void SetLocality(const config::Locality& locality);

 private:
  friend class Cluster;
  void Drop(Cluster& cluster);

  ClusterShared shared_;
  LingeringConnections lingering_;
  absl::flat_hash_map<std::string, std::unique_ptr<Cluster>> clusters_;
};

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_CLUSTER_TABLE_H_
