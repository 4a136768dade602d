#ifndef COUNTERSIGN_PROXY_XDS_RESOURCE_STORE_H_
#define COUNTERSIGN_PROXY_XDS_RESOURCE_STORE_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/container/flat_hash_set.h"
#include "absl/status/status.h"
#include "api/net/address.h"
#include "google/protobuf/any.pb.h"
#include "proxy/config/discovery.h"
#include "proxy/config/listener_translation.h"
#include "proxy/xds/cluster_store.h"
#include "proxy/xds/resource_type.h"

namespace countersign::xds {

// The resources in force and what they mean together: the standing configuration and, for each
// destination that somebody wants, where it leads. A resource that does not pass translation leaves
// the one before in force.
//
// A destination is told to the sinks once everything that it refers to is here, and again whenever
// that changes. Thread: main.
class ResourceStore {
 public:
  ResourceStore();
  ~ResourceStore();

  // Told everything that is in force, and from then on every change. Outlives the store.
  void AddSink(config::ConfigSink* sink);

  // --- what is wanted ---
  // False if it is wanted already; then what is known is told once more.
  bool Want(const net::Address& destination);
  // Forgets it; the sinks are told null.
  void Unwant(const net::Address& destination);
  size_t wanted() const { return destinations_.size(); }
  bool IsWanted(const net::Address& destination) const {
    return destinations_.contains(destination);
  }

  // --- what arrives ---
  // InvalidArgument says which field of the resource is not honoured.
  absl::Status Update(ResourceType type, const std::string& name, const std::string& version,
                      const google::protobuf::Any& resource);
  void Remove(ResourceType type, const std::string& name);
  // Tells the sinks what Update and Remove have changed since the last call, so that a response
  // takes effect at once and not in pieces.
  void Publish();

  // --- what is held ---
  // Names that the configuration needs: standing and wanted listeners, and what they refer to.
  std::vector<std::string> Needed(ResourceType type) const;
  // Needed, but not here and not known to be absent.
  std::vector<std::string> Missing(ResourceType type) const;
  // Here, but not needed any more; these are forgotten.
  std::vector<std::string> DropUnneeded(ResourceType type);
  // The version in force; empty if there is none.
  std::string VersionOf(ResourceType type, const std::string& name) const;
  size_t size(ResourceType type) const;

  // Null until it is complete.
  std::shared_ptr<const config::ProxyConfig> proxy_config() const { return proxy_config_; }
  // Null while it is not known what is there. For pages.
  std::shared_ptr<const config::Destination> Find(const net::Address& destination) const;
  std::vector<net::Address> Destinations() const;

 private:
  // `inbound` or `outbound`. What a destination's listener says stands with the destination.
  struct StandingListener {
    std::string version;
    std::string cluster;
    config::InboundPolicy inbound;  // of `inbound`
    config::HttpOptions http;       // of `inbound`
    config::Locality locality;      // of `inbound`
    std::string policy;             // of `outbound`
  };
  struct RoutesEntry {
    std::string version;
    std::shared_ptr<const config::RouteConfiguration> routes;
    std::vector<std::string> clusters;  // that they name; sorted
  };
  struct DestinationEntry {
    bool answered = false;
    std::string version;  // of the listener; empty while there is none
    config::DestinationListener listener;
    // Every cluster that is needed for an answer, sorted: the listener's and its routes'.
    std::vector<std::string> clusters;
    std::shared_ptr<const config::Destination> published;
  };

  absl::Status UpdateListener(const std::string& name, const std::string& version,
                              const google::protobuf::Any& resource);
  void OnClusterChange(const std::string& name);
  absl::Status UpdateRoutes(const std::string& name, const std::string& version,
                            const google::protobuf::Any& resource);
  // What a destination refers to has changed: whom clusters and routes concern is put right.
  void SetListener(const net::Address& address, DestinationEntry* entry,
                   config::DestinationListener listener);
  void RefreshUsersOfRoutes(const std::string& name);
  void RefreshReferences(const net::Address& address, DestinationEntry* entry);
  void ForgetClusterUser(const std::string& cluster, const net::Address& address);
  bool IsAbsent(ResourceType type, const std::string& name) const {
    return ClusterStore::Holds(type) ? clusters_.IsAbsent(type, name)
                                     : absent_[static_cast<int>(type)].contains(name);
  }
  // Null if something that it needs has not arrived.
  std::shared_ptr<const config::Destination> Resolve(const DestinationEntry& entry);
  bool ResolveRoutes(const DestinationEntry& entry, config::Destination* out);
  void PublishStanding();

  std::vector<config::ConfigSink*> sinks_;
  absl::flat_hash_map<std::string, StandingListener> standing_;
  absl::flat_hash_map<std::string, RoutesEntry> routes_;
  ClusterStore clusters_;
  absl::flat_hash_set<std::string> absent_[kResourceTypeCount];  // of listeners and routes
  absl::flat_hash_map<net::Address, DestinationEntry> destinations_;
  absl::flat_hash_map<std::string, absl::flat_hash_set<net::Address>> users_of_routes_;
  // Whom a cluster concerns.
  absl::flat_hash_map<std::string, absl::flat_hash_set<net::Address>> users_;
  absl::flat_hash_set<net::Address> dirty_;
  bool standing_dirty_ = false;
  std::shared_ptr<const config::ProxyConfig> proxy_config_;
};

}  // namespace countersign::xds

#endif  // COUNTERSIGN_PROXY_XDS_RESOURCE_STORE_H_
