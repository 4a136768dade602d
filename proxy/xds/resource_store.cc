#include "proxy/xds/resource_store.h"

#include <algorithm>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "api/xds/cluster.pb.h"
#include "api/xds/endpoint.pb.h"
#include "api/xds/listener.pb.h"
#include "api/xds/names.h"
#include "api/xds/route.pb.h"
#include "proxy/config/route_translation.h"
#include "proxy/config/strict_fields.h"

namespace countersign::xds {
namespace {

using config::ClusterResource;

template <typename Message>
absl::Status Parse(const google::protobuf::Any& any, const std::string& what, Message* message) {
  if (!any.Is<Message>() || !any.UnpackTo(message)) {
    return absl::InvalidArgumentError(
        absl::StrCat(what, ": is no ", Message::descriptor()->full_name()));
  }
  return absl::OkStatus();
}

template <typename Map, typename Key>
std::string VersionIn(const Map& map, const Key& name) {
  auto it = map.find(name);
  return it == map.end() ? "" : it->second.version;
}

}  // namespace

ResourceStore::ResourceStore() = default;
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
  const std::string what = absl::StrCat(ResourceTypeLabel(type), " `", name, "`");
  switch (type) {
    case ResourceType::kListener:
      if (absl::Status status = UpdateListener(name, version, resource); !status.ok()) {
        return status;
      }
      break;
    case ResourceType::kCluster: {
      envoy::config::cluster::v3::Cluster message;
      if (absl::Status status = Parse(resource, what, &message); !status.ok()) {
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
      if (entry.resource.kind == ClusterResource::Kind::kEds) {
        clusters_of_endpoints_[entry.resource.endpoints_name].erase(name);
      }
      entry.version = version;
      entry.resource = *std::move(translated);
      if (entry.resource.kind == ClusterResource::Kind::kEds) {
        clusters_of_endpoints_[entry.resource.endpoints_name].insert(name);
      }
      RefreshCluster(name);
      break;
    }
    case ResourceType::kEndpoints: {
      envoy::config::endpoint::v3::ClusterLoadAssignment message;
      if (absl::Status status = Parse(resource, what, &message); !status.ok()) {
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
      for (const std::string& cluster : clusters_of_endpoints_[name]) {
        RefreshCluster(cluster);
      }
      break;
    }
    case ResourceType::kRoutes:
      if (absl::Status status = UpdateRoutes(name, version, resource); !status.ok()) {
        return status;
      }
      break;
  }
  absent_[static_cast<int>(type)].erase(name);
  return absl::OkStatus();
}

absl::Status ResourceStore::UpdateRoutes(const std::string& name, const std::string& version,
                                         const google::protobuf::Any& resource) {
  const std::string what = absl::StrCat("routes `", name, "`");
  envoy::config::route::v3::RouteConfiguration message;
  if (absl::Status status = Parse(resource, what, &message); !status.ok()) {
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
  if (absl::Status status = Parse(resource, what, &message); !status.ok()) {
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

void ResourceStore::RefreshCluster(const std::string& name) {
  if (auto it = clusters_.find(name); it != clusters_.end()) {
    it->second.assembled = nullptr;
  }
  standing_dirty_ = true;
  if (auto users = users_.find(name); users != users_.end()) {
    dirty_.insert(users->second.begin(), users->second.end());
  }
}

void ResourceStore::Remove(ResourceType type, const std::string& name) {
  switch (type) {
    case ResourceType::kListener: {
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
      break;
    }
    case ResourceType::kCluster:
      if (auto it = clusters_.find(name); it != clusters_.end()) {
        if (it->second.resource.kind == ClusterResource::Kind::kEds) {
          clusters_of_endpoints_[it->second.resource.endpoints_name].erase(name);
        }
        clusters_.erase(it);
      }
      RefreshCluster(name);
      break;
    case ResourceType::kEndpoints:
      endpoints_.erase(name);
      for (const std::string& cluster : clusters_of_endpoints_[name]) {
        RefreshCluster(cluster);
      }
      break;
    case ResourceType::kRoutes:
      routes_.erase(name);
      RefreshUsersOfRoutes(name);
      break;
  }
  absent_[static_cast<int>(type)].insert(name);
}

std::shared_ptr<const config::Cluster> ResourceStore::Assemble(const std::string& name) {
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

bool ResourceStore::IsPassthrough(const std::string& cluster) const {
  auto it = clusters_.find(cluster);
  return it != clusters_.end() && it->second.resource.kind == ClusterResource::Kind::kOriginalDst;
}

std::shared_ptr<const config::Cluster> ResourceStore::AssembleFor(
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
    const bool unknown = clusters_.find(name) == clusters_.end();
    if (IsPassthrough(name) || (unknown && IsAbsent(ResourceType::kCluster, name))) {
      continue;
    }
    std::shared_ptr<const config::Cluster> cluster = AssembleFor(entry.listener, name);
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
  if (entry.version.empty() || (!listener.http && IsPassthrough(listener.cluster))) {
    // A listener that only says `pass through` says no more than that nothing is known.
    destination->kind = config::Destination::Kind::kUnknown;
    return destination;
  }
  destination->kind = config::Destination::Kind::kCluster;
  if (listener.http && !ResolveRoutes(entry, destination.get())) {
    return nullptr;
  }
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
    destination->cluster = AssembleFor(listener, listener.cluster);
  }
  return destination->cluster == nullptr ? nullptr : destination;
}

void ResourceStore::PublishStanding() {
  auto inbound = standing_.find(kInboundListener);
  auto outbound = standing_.find(kOutboundListener);
  if (inbound == standing_.end() || outbound == standing_.end()) {
    return;
  }
  auto cluster = clusters_.find(outbound->second.cluster);
  auto application = clusters_.find(inbound->second.cluster);
  if (cluster == clusters_.end() || application == clusters_.end() ||
      application->second.resource.kind != ClusterResource::Kind::kOriginalDst) {
    return;
  }
  auto config = std::make_shared<config::ProxyConfig>();
  config->inbound = inbound->second.inbound;
  config->http = inbound->second.http;
  config->locality = inbound->second.locality;
  config->outbound.name = outbound->second.policy;
  config->outbound.mode = cluster->second.resource.kind == ClusterResource::Kind::kOriginalDst
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
    } else if (auto it = clusters_.find(cluster);
               it != clusters_.end() && it->second.resource.kind == ClusterResource::Kind::kEds) {
      unique.insert(it->second.resource.endpoints_name);
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
    if (VersionOf(type, name).empty() && !absent_[static_cast<int>(type)].contains(name)) {
      names.push_back(std::move(name));
    }
  }
  return names;
}

std::vector<std::string> ResourceStore::DropUnneeded(ResourceType type) {
  const std::vector<std::string> needed = Needed(type);
  const absl::flat_hash_set<std::string> keep(needed.begin(), needed.end());
  std::vector<std::string> dropped;
  const auto collect = [&](const auto& map) {
    for (const auto& entry : map) {
      if (!keep.contains(entry.first)) {
        dropped.push_back(entry.first);
      }
    }
  };
  if (type == ResourceType::kCluster) {
    collect(clusters_);
  } else if (type == ResourceType::kEndpoints) {
    collect(endpoints_);
  } else if (type == ResourceType::kRoutes) {
    collect(routes_);
  }
  for (const std::string& name : absent_[static_cast<int>(type)]) {
    if (!keep.contains(name)) {
      dropped.push_back(name);
    }
  }
  for (const std::string& name : dropped) {
    if (type == ResourceType::kCluster) {
      auto it = clusters_.find(name);
      if (it != clusters_.end() && it->second.resource.kind == ClusterResource::Kind::kEds) {
        auto of = clusters_of_endpoints_.find(it->second.resource.endpoints_name);
        of->second.erase(name);
        if (of->second.empty()) {
          clusters_of_endpoints_.erase(of);
        }
      }
      clusters_.erase(name);
    } else if (type == ResourceType::kEndpoints) {
      endpoints_.erase(name);
    } else if (type == ResourceType::kRoutes) {
      routes_.erase(name);
    }
    absent_[static_cast<int>(type)].erase(name);
  }
  return dropped;
}

std::string ResourceStore::VersionOf(ResourceType type, const std::string& name) const {
  switch (type) {
    case ResourceType::kCluster:
      return VersionIn(clusters_, name);
    case ResourceType::kEndpoints:
      return VersionIn(endpoints_, name);
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
      return clusters_.size();
    case ResourceType::kEndpoints:
      return endpoints_.size();
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
