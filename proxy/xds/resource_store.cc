#include "proxy/xds/resource_store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "api/xds/listener.pb.h"
#include "api/xds/names.h"
#include "api/xds/route.pb.h"
#include "proxy/config/route_translation.h"
#include "proxy/config/strict_fields.h"
#include "proxy/xds/unpack.h"

namespace countersign::xds {
namespace {

template <typename Map, typename Key>
std::string VersionIn(const Map& map, const Key& name) {
  auto it = map.find(name);
  return it == map.end() ? "" : it->second.version;
}

}  // namespace

ResourceStore::ResourceStore()
    : clusters_([this](const std::string& name) { OnClusterChange(name); }) {}
ResourceStore::~ResourceStore() = default;

void ResourceStore::AddSink(config::ConfigSink* sink) {
  sinks_.push_back(sink);
  if (proxy_config_ != nullptr) {
    sink->OnProxyConfig(proxy_config_);
  }
  for (const auto& [address, entry] : destinations_) {
    if (entry.published != nullptr) {
      sink->OnDestination(address, entry.published);
    }
  }
}

bool ResourceStore::Want(const net::Address& destination) {
  auto [it, inserted] = destinations_.try_emplace(destination);
  if (!inserted && it->second.published != nullptr) {
    for (config::ConfigSink* sink : sinks_) {
      sink->OnDestination(destination, it->second.published);
    }
  }
  return inserted;
}

void ResourceStore::Unwant(const net::Address& destination) {
  auto it = destinations_.find(destination);
  if (it == destinations_.end()) {
    return;
  }
  SetListener(destination, &it->second, {});
  destinations_.erase(it);
  dirty_.erase(destination);
  absent_[static_cast<int>(ResourceType::kListener)].erase(DestinationName(destination));
  for (config::ConfigSink* sink : sinks_) {
    sink->OnDestination(destination, nullptr);
  }
}

absl::Status ResourceStore::Update(ResourceType type, const std::string& name,
                                   const std::string& version,
                                   const google::protobuf::Any& resource) {
  if (ClusterStore::Holds(type)) {
    return clusters_.Update(type, name, version, resource);
  }
  const absl::Status status = type == ResourceType::kListener
                                  ? UpdateListener(name, version, resource)
                                  : UpdateRoutes(name, version, resource);
  if (status.ok()) {
    absent_[static_cast<int>(type)].erase(name);
  }
  return status;
}

absl::Status ResourceStore::UpdateRoutes(const std::string& name, const std::string& version,
                                         const google::protobuf::Any& resource) {
  const std::string what = absl::StrCat("routes `", name, "`");
  envoy::config::route::v3::RouteConfiguration message;
  if (absl::Status status = Unpack(resource, what, &message); !status.ok()) {
    return status;
  }
  if (absl::Status status = config::RefuseUnknownFields(message, what); !status.ok()) {
    return status;
  }
  if (message.name() != name) {
    return absl::InvalidArgumentError(absl::StrCat(what, ".name: must be the resource's"));
  }
  absl::StatusOr<std::shared_ptr<const config::RouteConfiguration>> routes =
      config::TranslateRoutes(message, what);
  if (!routes.ok()) {
    return routes.status();
  }
  RoutesEntry& entry = routes_[name];
  entry.version = version;
  entry.routes = *std::move(routes);
  entry.clusters = config::ClustersOf(*entry.routes);
  RefreshUsersOfRoutes(name);
  return absl::OkStatus();
}

void ResourceStore::RefreshUsersOfRoutes(const std::string& name) {
  auto users = users_of_routes_.find(name);
  if (users == users_of_routes_.end()) {
    return;
  }
  for (const net::Address& address : users->second) {
    RefreshReferences(address, &destinations_.at(address));
  }
}

absl::Status ResourceStore::UpdateListener(const std::string& name, const std::string& version,
                                           const google::protobuf::Any& resource) {
  const std::string what = absl::StrCat("listener `", name, "`");
  envoy::config::listener::v3::Listener message;
  if (absl::Status status = Unpack(resource, what, &message); !status.ok()) {
    return status;
  }
  StandingListener listener;
  listener.version = version;
  if (name == kInboundListener) {
    absl::StatusOr<config::InboundListener> inbound = config::TranslateInbound(message);
    if (!inbound.ok()) {
      return inbound.status();
    }
    listener.cluster = std::move(inbound->cluster);
    listener.inbound = std::move(inbound->policy);
    listener.http = inbound->http;
    listener.locality = std::move(inbound->locality);
    standing_dirty_ = true;
  } else if (name == kOutboundListener) {
    absl::StatusOr<config::OutboundListener> outbound = config::TranslateOutbound(message);
    if (!outbound.ok()) {
      return outbound.status();
    }
    listener.cluster = std::move(outbound->cluster);
    listener.policy = std::move(outbound->policy);
    standing_dirty_ = true;
  } else {
    const absl::optional<net::Address> address = DestinationOfName(name);
    if (!address.has_value()) {
      return absl::InvalidArgumentError(
          absl::StrCat(what, ".name: must be `inbound`, `outbound` or `outbound/IP:PORT`"));
    }
    absl::StatusOr<config::DestinationListener> destination =
        config::TranslateDestination(message, *address);
    if (!destination.ok()) {
      return destination.status();
    }
    auto it = destinations_.find(*address);
    if (it == destinations_.end()) {
      return absl::OkStatus();  // unsubscribed while it was under way
    }
    it->second.answered = true;
    it->second.version = version;
    SetListener(*address, &it->second, *std::move(destination));
    return absl::OkStatus();
  }
  standing_[name] = std::move(listener);
  return absl::OkStatus();
}

void ResourceStore::SetListener(const net::Address& address, DestinationEntry* entry,
                                config::DestinationListener listener) {
  const std::string& before = entry->listener.routes_name;
  if (before != listener.routes_name) {
    if (auto users = users_of_routes_.find(before); users != users_of_routes_.end()) {
      users->second.erase(address);
      if (users->second.empty()) {
        users_of_routes_.erase(users);
      }
    }
    if (!listener.routes_name.empty()) {
      users_of_routes_[listener.routes_name].insert(address);
    }
  }
  entry->listener = std::move(listener);
  RefreshReferences(address, entry);
}

void ResourceStore::RefreshReferences(const net::Address& address, DestinationEntry* entry) {
  std::vector<std::string> clusters;
  if (!entry->listener.routes_name.empty()) {
    if (auto it = routes_.find(entry->listener.routes_name); it != routes_.end()) {
      clusters = it->second.clusters;
    }
  } else if (entry->listener.routes != nullptr) {
    clusters = config::ClustersOf(*entry->listener.routes);
  }
  if (const std::string& own = entry->listener.cluster; !own.empty()) {
    const auto at = std::lower_bound(clusters.begin(), clusters.end(), own);
    if (at == clusters.end() || *at != own) {
      clusters.insert(at, own);
    }
  }
  if (clusters != entry->clusters) {
    for (const std::string& name : entry->clusters) {
      ForgetClusterUser(name, address);
    }
    for (const std::string& name : clusters) {
      users_[name].insert(address);
    }
    entry->clusters = std::move(clusters);
  }
  dirty_.insert(address);
}

void ResourceStore::ForgetClusterUser(const std::string& cluster, const net::Address& address) {
  if (auto users = users_.find(cluster); users != users_.end()) {
    users->second.erase(address);
    if (users->second.empty()) {
      users_.erase(users);
    }
  }
}

void ResourceStore::OnClusterChange(const std::string& name) {
  standing_dirty_ = true;
  if (auto users = users_.find(name); users != users_.end()) {
    dirty_.insert(users->second.begin(), users->second.end());
  }
}

void ResourceStore::Remove(ResourceType type, const std::string& name) {
  if (ClusterStore::Holds(type)) {
    clusters_.Remove(type, name);
    return;
  }
  if (type == ResourceType::kListener) {
    const absl::optional<net::Address> address = DestinationOfName(name);
    if (!address.has_value()) {
      return;  // there is always some standing configuration: the last one
    }
    auto it = destinations_.find(*address);
    if (it == destinations_.end()) {
      return;
    }
    it->second.answered = true;
    it->second.version.clear();
    SetListener(*address, &it->second, {});
  } else {
    routes_.erase(name);
    RefreshUsersOfRoutes(name);
  }
  absent_[static_cast<int>(type)].insert(name);
}

bool ResourceStore::ResolveRoutes(const DestinationEntry& entry, config::Destination* out) {
  out->routes = entry.listener.routes;
  if (const std::string& name = entry.listener.routes_name; !name.empty()) {
    if (auto it = routes_.find(name); it != routes_.end()) {
      out->routes = it->second.routes;
    } else if (IsAbsent(ResourceType::kRoutes, name)) {
      // Nothing matches: every request is told that there is no route.
      auto none = std::make_shared<config::RouteConfiguration>();
      none->name = name;
      out->routes = std::move(none);
    } else {
      return false;
    }
  }
  for (const std::string& name : entry.clusters) {
    const bool unknown = clusters_.Find(name) == nullptr;
    if (clusters_.IsPassthrough(name) || (unknown && IsAbsent(ResourceType::kCluster, name))) {
      continue;
    }
    std::shared_ptr<const config::Cluster> cluster = clusters_.AssembleFor(entry.listener, name);
    if (cluster == nullptr) {
      return false;
    }
    out->route_clusters.push_back(std::move(cluster));
  }
  return true;
}

std::shared_ptr<const config::Destination> ResourceStore::Resolve(const DestinationEntry& entry) {
  if (!entry.answered) {
    return nullptr;
  }
  auto destination = std::make_shared<config::Destination>();
  const config::DestinationListener& listener = entry.listener;
  if (entry.version.empty() || (!listener.http && clusters_.IsPassthrough(listener.cluster))) {
    // A listener that only says `pass through` says no more than that nothing is known.
    destination->kind = config::Destination::Kind::kUnknown;
    return destination;
  }
  destination->kind = config::Destination::Kind::kCluster;
  if (listener.http && !ResolveRoutes(entry, destination.get())) {
    return nullptr;
  }
  destination->http = listener.options;
  for (const auto& cluster : destination->route_clusters) {
    if (cluster->name == listener.cluster || listener.cluster.empty()) {
      destination->cluster = cluster;
      break;
    }
  }
  if (destination->cluster == nullptr && listener.http && listener.cluster.empty()) {
    // Every route answers by itself.
    auto nowhere = std::make_shared<config::Cluster>();
    nowhere->protocol = config::AppProtocol::kHttp1;
    destination->cluster = std::move(nowhere);
  } else if (destination->cluster == nullptr) {
    destination->cluster = clusters_.AssembleFor(listener, listener.cluster);
  }
  return destination->cluster == nullptr ? nullptr : destination;
}

void ResourceStore::PublishStanding() {
  auto inbound = standing_.find(kInboundListener);
  auto outbound = standing_.find(kOutboundListener);
  if (inbound == standing_.end() || outbound == standing_.end()) {
    return;
  }
  if (clusters_.Find(outbound->second.cluster) == nullptr ||
      !clusters_.IsPassthrough(inbound->second.cluster)) {
    return;
  }
  auto config = std::make_shared<config::ProxyConfig>();
  config->inbound = inbound->second.inbound;
  config->http = inbound->second.http;
  config->locality = inbound->second.locality;
  config->outbound.name = outbound->second.policy;
  config->outbound.mode = clusters_.IsPassthrough(outbound->second.cluster)
                              ? config::OutboundPolicy::Mode::kAllowAny
                              : config::OutboundPolicy::Mode::kRegistryOnly;
  proxy_config_ = std::move(config);
  for (config::ConfigSink* sink : sinks_) {
    sink->OnProxyConfig(proxy_config_);
  }
}

void ResourceStore::Publish() {
  if (std::exchange(standing_dirty_, false)) {
    PublishStanding();
  }
  for (const net::Address& address : std::exchange(dirty_, {})) {
    auto it = destinations_.find(address);
    if (it == destinations_.end()) {
      continue;
    }
    // While something is missing, what was in force before stays in force.
    if (std::shared_ptr<const config::Destination> now = Resolve(it->second); now != nullptr) {
      it->second.published = now;
      for (config::ConfigSink* sink : sinks_) {
        sink->OnDestination(address, now);
      }
    }
  }
}

std::vector<std::string> ResourceStore::Needed(ResourceType type) const {
  std::vector<std::string> names;
  if (type == ResourceType::kListener) {
    names = {kInboundListener, kOutboundListener};
    for (const auto& [address, entry] : destinations_) {
      names.push_back(DestinationName(address));
    }
    return names;
  }
  absl::flat_hash_set<std::string> unique;
  const auto add_cluster = [&](const std::string& cluster) {
    if (type == ResourceType::kCluster) {
      unique.insert(cluster);
    } else if (const config::ClusterResource* resource = clusters_.Find(cluster);
               resource != nullptr && resource->kind == config::ClusterResource::Kind::kEds) {
      unique.insert(resource->endpoints_name);
    }
  };
  if (type != ResourceType::kRoutes) {
    for (const auto& [name, listener] : standing_) {
      add_cluster(listener.cluster);
    }
  }
  for (const auto& [address, entry] : destinations_) {
    if (type != ResourceType::kRoutes) {
      for (const std::string& cluster : entry.clusters) {
        add_cluster(cluster);
      }
    } else if (!entry.listener.routes_name.empty()) {
      unique.insert(entry.listener.routes_name);
    }
  }
  names.assign(unique.begin(), unique.end());
  return names;
}

std::vector<std::string> ResourceStore::Missing(ResourceType type) const {
  std::vector<std::string> names;
  for (std::string& name : Needed(type)) {
    if (VersionOf(type, name).empty() && !IsAbsent(type, name)) {
      names.push_back(std::move(name));
    }
  }
  return names;
}

std::vector<std::string> ResourceStore::DropUnneeded(ResourceType type) {
  const std::vector<std::string> needed = Needed(type);
  const absl::flat_hash_set<std::string> keep(needed.begin(), needed.end());
  if (ClusterStore::Holds(type)) {
    return clusters_.DropAllBut(type, keep);
  }
  std::vector<std::string> dropped;
  if (type == ResourceType::kRoutes) {
    for (const auto& [name, entry] : routes_) {
      if (!keep.contains(name)) {
        dropped.push_back(name);
      }
    }
  }
  for (const std::string& name : absent_[static_cast<int>(type)]) {
    if (!keep.contains(name)) {
      dropped.push_back(name);
    }
  }
  for (const std::string& name : dropped) {
    if (type == ResourceType::kRoutes) {
      routes_.erase(name);
    }
    absent_[static_cast<int>(type)].erase(name);
  }
  return dropped;
}

std::string ResourceStore::VersionOf(ResourceType type, const std::string& name) const {
  switch (type) {
    case ResourceType::kCluster:
    case ResourceType::kEndpoints:
      return clusters_.VersionOf(type, name);
    case ResourceType::kListener: {
      const absl::optional<net::Address> address = DestinationOfName(name);
      return address.has_value() ? VersionIn(destinations_, *address) : VersionIn(standing_, name);
    }
    case ResourceType::kRoutes:
      return VersionIn(routes_, name);
  }
  return "";
}

size_t ResourceStore::size(ResourceType type) const {
  switch (type) {
    case ResourceType::kCluster:
    case ResourceType::kEndpoints:
      return clusters_.size(type);
    case ResourceType::kListener:
      return standing_.size() +
             std::count_if(destinations_.begin(), destinations_.end(),
                           [](const auto& entry) { return !entry.second.version.empty(); });
    case ResourceType::kRoutes:
      return routes_.size();
  }
  return 0;
}

std::shared_ptr<const config::Destination> ResourceStore::Find(
    const net::Address& destination) const {
  auto it = destinations_.find(destination);
  return it == destinations_.end() ? nullptr : it->second.published;
}

std::vector<net::Address> ResourceStore::Destinations() const {
  std::vector<net::Address> all;
  for (const auto& [address, entry] : destinations_) {
    all.push_back(address);
  }
  return all;
}

}  // namespace countersign::xds
