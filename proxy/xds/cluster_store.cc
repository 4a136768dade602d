#include "proxy/xds/cluster_store.h"

#include <utility>

#include "absl/strings/str_cat.h"
#include "api/xds/cluster.pb.h"
#include "api/xds/endpoint.pb.h"
#include "proxy/xds/unpack.h"

namespace countersign::xds {

using config::ClusterResource;

absl::Status ClusterStore::Update(ResourceType type, const std::string& name,
                                  const std::string& version,
                                  const google::protobuf::Any& resource) {
  const absl::Status status = type == ResourceType::kCluster
                                  ? UpdateCluster(name, version, resource)
                                  : UpdateEndpoints(name, version, resource);
  if (status.ok()) {
    AbsentOf(type).erase(name);
  }
  return status;
}

absl::Status ClusterStore::UpdateCluster(const std::string& name, const std::string& version,
                                         const google::protobuf::Any& resource) {
  const std::string what = absl::StrCat("cluster `", name, "`");
  envoy::config::cluster::v3::Cluster message;
  if (absl::Status status = Unpack(resource, what, &message); !status.ok()) {
    return status;
  }
  absl::StatusOr<ClusterResource> translated = config::TranslateCluster(message);
  if (!translated.ok()) {
    return translated.status();
  }
  if (translated->cluster.name != name) {
    return absl::InvalidArgumentError(absl::StrCat(what, ".name: must be the resource's"));
  }
  ClusterEntry& entry = clusters_[name];
  ForgetEndpointsOf(name, entry.resource);
  entry.version = version;
  entry.resource = *std::move(translated);
  if (entry.resource.kind == ClusterResource::Kind::kEds) {
    clusters_of_endpoints_[entry.resource.endpoints_name].insert(name);
  }
  Refresh(name);
  return absl::OkStatus();
}

absl::Status ClusterStore::UpdateEndpoints(const std::string& name, const std::string& version,
                                           const google::protobuf::Any& resource) {
  const std::string what = absl::StrCat("endpoints `", name, "`");
  envoy::config::endpoint::v3::ClusterLoadAssignment message;
  if (absl::Status status = Unpack(resource, what, &message); !status.ok()) {
    return status;
  }
  absl::StatusOr<config::EndpointsResource> translated = config::TranslateEndpoints(message);
  if (!translated.ok()) {
    return translated.status();
  }
  if (message.cluster_name() != name) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ".cluster_name: must be the resource's name"));
  }
  endpoints_[name] = {version, *std::move(translated)};
  RefreshUsersOf(name);
  return absl::OkStatus();
}

void ClusterStore::Remove(ResourceType type, const std::string& name) {
  AbsentOf(type).insert(name);
  if (type == ResourceType::kCluster) {
    EraseCluster(name);
    Refresh(name);
  } else {
    endpoints_.erase(name);
    RefreshUsersOf(name);
  }
}

void ClusterStore::EraseCluster(const std::string& name) {
  if (auto it = clusters_.find(name); it != clusters_.end()) {
    ForgetEndpointsOf(name, it->second.resource);
    clusters_.erase(it);
  }
}

void ClusterStore::ForgetEndpointsOf(const std::string& cluster, const ClusterResource& resource) {
  if (auto of = clusters_of_endpoints_.find(resource.endpoints_name);
      of != clusters_of_endpoints_.end()) {
    of->second.erase(cluster);
    if (of->second.empty()) {
      clusters_of_endpoints_.erase(of);
    }
  }
}

void ClusterStore::Refresh(const std::string& cluster) {
  if (auto it = clusters_.find(cluster); it != clusters_.end()) {
    it->second.assembled = nullptr;
  }
  on_change_(cluster);
}

void ClusterStore::RefreshUsersOf(const std::string& endpoints) {
  if (auto of = clusters_of_endpoints_.find(endpoints); of != clusters_of_endpoints_.end()) {
    for (const std::string& cluster : of->second) {
      Refresh(cluster);
    }
  }
}

std::vector<std::string> ClusterStore::DropAllBut(ResourceType type,
                                                  const absl::flat_hash_set<std::string>& keep) {
  std::vector<std::string> dropped;
  const auto collect = [&](const std::string& name) {
    if (!keep.contains(name)) {
      dropped.push_back(name);
    }
  };
  if (type == ResourceType::kCluster) {
    for (const auto& [name, entry] : clusters_) {
      collect(name);
    }
  } else {
    for (const auto& [name, entry] : endpoints_) {
      collect(name);
    }
  }
  for (const std::string& name : AbsentOf(type)) {
    collect(name);
  }
  for (const std::string& name : dropped) {
    if (type == ResourceType::kCluster) {
      EraseCluster(name);
    } else {
      endpoints_.erase(name);
    }
    AbsentOf(type).erase(name);
  }
  return dropped;
}

std::string ClusterStore::VersionOf(ResourceType type, const std::string& name) const {
  if (type == ResourceType::kCluster) {
    auto it = clusters_.find(name);
    return it == clusters_.end() ? "" : it->second.version;
  }
  auto it = endpoints_.find(name);
  return it == endpoints_.end() ? "" : it->second.version;
}

const ClusterResource* ClusterStore::Find(const std::string& cluster) const {
  auto it = clusters_.find(cluster);
  return it == clusters_.end() ? nullptr : &it->second.resource;
}

bool ClusterStore::IsPassthrough(const std::string& cluster) const {
  const ClusterResource* resource = Find(cluster);
  return resource != nullptr && resource->kind == ClusterResource::Kind::kOriginalDst;
}

std::shared_ptr<const config::Cluster> ClusterStore::Assemble(const std::string& name) {
  auto it = clusters_.find(name);
  if (it == clusters_.end()) {
    if (!IsAbsent(ResourceType::kCluster, name)) {
      return nullptr;
    }
    // The listener leads to a cluster that there is not: nothing is ready there.
    auto none = std::make_shared<config::Cluster>();
    none->name = name;
    return none;
  }
  ClusterEntry& entry = it->second;
  if (entry.assembled != nullptr) {
    return entry.assembled;
  }
  switch (entry.resource.kind) {
    case ClusterResource::Kind::kOriginalDst:
      return nullptr;  // its callers deal with these
    case ClusterResource::Kind::kStatic:
      entry.assembled = config::AssembleCluster(entry.resource, entry.resource.static_endpoints);
      break;
    case ClusterResource::Kind::kEds: {
      auto endpoints = endpoints_.find(entry.resource.endpoints_name);
      if (endpoints != endpoints_.end()) {
        entry.assembled = config::AssembleCluster(entry.resource, endpoints->second.resource);
      } else if (IsAbsent(ResourceType::kEndpoints, entry.resource.endpoints_name)) {
        entry.assembled = config::AssembleCluster(entry.resource, {});
      }
      break;
    }
  }
  return entry.assembled;
}

std::shared_ptr<const config::Cluster> ClusterStore::AssembleFor(
    const config::DestinationListener& listener, const std::string& name) {
  std::shared_ptr<const config::Cluster> cluster = Assemble(name);
  if (cluster == nullptr) {
    return nullptr;
  }
  using config::AppProtocol;
  auto it = clusters_.find(name);
  const bool said = it != clusters_.end() && it->second.resource.protocol_said;
  AppProtocol protocol = cluster->protocol;
  if (!listener.http) {
    protocol = AppProtocol::kTcp;
  } else if (!said || protocol == AppProtocol::kTcp) {
    protocol = listener.tcp ? AppProtocol::kAuto : AppProtocol::kHttp1;
  }
  if (protocol == cluster->protocol) {
    return cluster;
  }
  auto copy = std::make_shared<config::Cluster>(*cluster);
  copy->protocol = protocol;
  return copy;
}

}  // namespace countersign::xds
