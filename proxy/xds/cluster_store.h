#ifndef COUNTERSIGN_PROXY_XDS_CLUSTER_STORE_H_
#define COUNTERSIGN_PROXY_XDS_CLUSTER_STORE_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "google/protobuf/any.pb.h"
#include "proxy/config/cluster_translation.h"
#include "proxy/config/listener_translation.h"
#include "proxy/xds/resource_type.h"

namespace countersign::xds {

// The clusters and endpoints in force, and what they are together. Of each name it is known that it
// is here, that there is none, or nothing yet.
//
// `type` is kCluster or kEndpoints throughout. Thread: main.
class ClusterStore {
 public:
  using OnChange = std::function<void(const std::string& cluster)>;

  // `on_change` is told each cluster that may be another from now on.
  explicit ClusterStore(OnChange on_change) : on_change_(std::move(on_change)) {}

  // Whether resources of this type are kept here.
  static bool Holds(ResourceType type) {
    return type == ResourceType::kCluster || type == ResourceType::kEndpoints;
  }

  // InvalidArgument says which field of the resource is not honoured.
  absl::Status Update(ResourceType type, const std::string& name, const std::string& version,
                      const google::protobuf::Any& resource);
  void Remove(ResourceType type, const std::string& name);
  // Forgets all but `keep`; says what.
  std::vector<std::string> DropAllBut(ResourceType type,
                                      const absl::flat_hash_set<std::string>& keep);

  // Empty if it is not here.
  std::string VersionOf(ResourceType type, const std::string& name) const;
  bool IsAbsent(ResourceType type, const std::string& name) const {
    return AbsentOf(type).contains(name);
  }
  size_t size(ResourceType type) const {
    return type == ResourceType::kCluster ? clusters_.size() : endpoints_.size();
  }

  // Null if it is not here. Valid until the next change.
  const config::ClusterResource* Find(const std::string& cluster) const;
  bool IsPassthrough(const std::string& cluster) const;
  // Null if something that it needs has not arrived, or if it has no endpoints of its own.
  std::shared_ptr<const config::Cluster> Assemble(const std::string& name);
  // The same, speaking what the listener that leads there says, where the cluster itself does not.
  std::shared_ptr<const config::Cluster> AssembleFor(const config::DestinationListener& listener,
                                                     const std::string& name);

 private:
  struct ClusterEntry {
    std::string version;
    config::ClusterResource resource;
    std::shared_ptr<const config::Cluster> assembled;  // null: to be made again
  };
  struct EndpointsEntry {
    std::string version;
    config::EndpointsResource resource;
  };

  const absl::flat_hash_set<std::string>& AbsentOf(ResourceType type) const {
    return type == ResourceType::kCluster ? absent_clusters_ : absent_endpoints_;
  }
  absl::flat_hash_set<std::string>& AbsentOf(ResourceType type) {
    return type == ResourceType::kCluster ? absent_clusters_ : absent_endpoints_;
  }
  absl::Status UpdateCluster(const std::string& name, const std::string& version,
                             const google::protobuf::Any& resource);
  absl::Status UpdateEndpoints(const std::string& name, const std::string& version,
                               const google::protobuf::Any& resource);
  void EraseCluster(const std::string& name);
  void ForgetEndpointsOf(const std::string& cluster, const config::ClusterResource& resource);
  void Refresh(const std::string& cluster);
  void RefreshUsersOf(const std::string& endpoints);

  const OnChange on_change_;
  absl::flat_hash_map<std::string, ClusterEntry> clusters_;
  absl::flat_hash_map<std::string, EndpointsEntry> endpoints_;
  absl::flat_hash_set<std::string> absent_clusters_;
  absl::flat_hash_set<std::string> absent_endpoints_;
  absl::flat_hash_map<std::string, absl::flat_hash_set<std::string>> clusters_of_endpoints_;
};

}  // namespace countersign::xds

#endif  // COUNTERSIGN_PROXY_XDS_CLUSTER_STORE_H_
