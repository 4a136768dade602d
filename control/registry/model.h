// What the mesh looks like: the one input of `compile`. Immutable; built from resources of any
// registry.
#ifndef COUNTERSIGN_CONTROL_REGISTRY_MODEL_H_
#define COUNTERSIGN_CONTROL_REGISTRY_MODEL_H_

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "api/mesh/v1alpha1/gateway.pb.h"
#include "api/mesh/v1alpha1/mesh.pb.h"
#include "api/mesh/v1alpha1/traffic_policy.pb.h"
#include "api/net/address.h"
#include "api/spiffe/spiffe_id.h"
#include "control/registry/kind.h"
#include "control/registry/reference_grants.h"

namespace countersign::control::registry {

using MtlsMode = mesh::v1alpha1::MutualTls::Mode;
using Tunnel = mesh::v1alpha1::ExternalWorkloadSpec::Tunnel;
using Labels = std::map<std::string, std::string>;

// True if `labels` carries all of `selector` with equal values. An empty selector matches nothing:
// whoever lets it mean `everything` says so.
bool Selects(const Labels& selector, const Labels& labels);

struct Mesh {
  std::string policy_name = "built-in defaults";  // `countersign-system/NAME` once there is one
  std::string trust_domain = "cluster.local";
  mesh::v1alpha1::OutboundTrafficPolicy::Mode outbound =
      mesh::v1alpha1::OutboundTrafficPolicy::ALLOW_ANY;
  MtlsMode mtls = mesh::v1alpha1::MutualTls::PERMISSIVE;  // never UNSET
  absl::Duration ttl = absl::Hours(1);
  absl::Duration max_ttl = absl::Hours(24);
  mesh::v1alpha1::HttpSettings http;
  double trace_percent = 0;
};

struct PeerAuthentication {
  std::string ns;
  std::string name;
  absl::Time created = absl::InfiniteFuture();
  Labels selector;  // empty: the whole namespace
  MtlsMode mode = mesh::v1alpha1::MutualTls::UNSET;
  std::map<uint16_t, MtlsMode> ports;

  std::string Key() const { return ns + "/" + name; }
};

// What an application speaks on a port.
enum class PortProtocol : uint8_t {
  kAuto,   // nobody said: the first bytes tell
  kTcp,    // opaque
  kHttp1,  // `http`
  kHttp2,  // `http2`, `grpc`, `kubernetes.io/h2c`
};
// By appProtocol, or else by the port's name up to its first `-`.
PortProtocol ProtocolOf(absl::string_view name, absl::string_view app_protocol);

struct WorkloadPort {
  std::string name;
  uint16_t port = 0;
  PortProtocol protocol = PortProtocol::kAuto;
};

struct Locality {
  std::string region;
  std::string zone;
  std::string sub_zone;

  auto operator<=>(const Locality&) const = default;
  // `region/zone/sub_zone`, without what is empty at the end.
  std::string ToString() const;
};

struct Workload {
  std::string ns;
  std::string name;
  Labels labels;
  std::vector<net::IpAddress> addresses;
  std::string service_account;
  spiffe::SpiffeId identity;  // empty where tunnel is NONE: a legacy workload has none
  Tunnel tunnel = mesh::v1alpha1::ExternalWorkloadSpec::HBONE;
  uint16_t tunnel_port = 0;
  std::vector<WorkloadPort> ports;  // TCP only
  Locality locality;
  uint32_t weight = 1;

  std::string Key() const { return ns + "/" + name; }
};

struct ServicePort {
  std::string name;
  uint16_t port = 0;
  uint16_t target = 0;      // 0: by `target_name`
  std::string target_name;  // of a port of the workload
  PortProtocol protocol = PortProtocol::kAuto;
};

// Where `workload` listens for `port`; 0 where it has no port of that name.
uint16_t TargetPort(const ServicePort& port, const Workload& workload);

struct Service {
  std::string ns;
  std::string name;
  Labels selector;
  std::vector<net::IpAddress> cluster_ips;  // empty: headless
  std::vector<ServicePort> ports;           // TCP only

  std::string Key() const { return ns + "/" + name; }
  const ServicePort* FindPort(uint16_t port) const;
};

// How callers treat a Service.
struct TrafficPolicy {
  std::string ns;
  std::string name;
  absl::Time created = absl::InfiniteFuture();
  std::shared_ptr<const mesh::v1alpha1::TrafficPolicySpec> spec;

  std::string Key() const { return ns + "/" + name; }
  bool CoversPort(const ServicePort& port) const;
};

// An HTTPRoute or a GRPCRoute.
struct HttpRoute {
  std::string ns;
  std::string name;
  absl::Time created = absl::InfiniteFuture();
  // One of the two.
  std::shared_ptr<const mesh::v1alpha1::HTTPRouteSpec> http;
  std::shared_ptr<const mesh::v1alpha1::GRPCRouteSpec> grpc;

  const char* KindName() const { return http != nullptr ? "HTTPRoute" : "GRPCRoute"; }
  // `HTTPRoute/default/web`
  std::string Key() const;
  const google::protobuf::RepeatedPtrField<mesh::v1alpha1::ParentReference>& parents() const {
    return http != nullptr ? http->parent_refs() : grpc->parent_refs();
  }
  const google::protobuf::RepeatedPtrField<std::string>& hostnames() const {
    return http != nullptr ? http->hostnames() : grpc->hostnames();
  }
  const std::string& NamespaceOf(const mesh::v1alpha1::ParentReference& parent) const {
    return parent.namespace_().empty() ? ns : parent.namespace_();
  }
  // Whether a parent is this port of this Service.
  bool IsFor(const Service& service, const ServicePort& port) const;
};

// Shared by all threads; never mutated after Build.
class Model {
 public:
  // Everything that is wrong goes to `errors` (then the answer is null), each with the location of
  // the later of two resources that contradict each other, in the order of `resources`. `in_force`
  // is the Model before, or null: what a running mesh cannot change is held against it.
  static std::shared_ptr<const Model> Build(const std::vector<const Resource*>& resources,
                                            uint64_t version, absl::Time changed_at,
                                            std::vector<ConfigError>* errors,
                                            const Model* in_force = nullptr);

  uint64_t version() const { return version_; }
  // When the event was noticed that led to this version; the start of every latency measurement.
  absl::Time changed_at() const { return changed_at_; }

  const Mesh& mesh() const { return mesh_; }
  const std::vector<PeerAuthentication>& peer_authentications() const {
    return peer_authentications_;
  }
  const std::vector<Workload>& workloads() const { return workloads_; }
  const std::vector<Service>& services() const { return services_; }

  // Null when there is none. Borrowed: valid as long as the Model.
  const Workload* FindWorkload(absl::string_view key) const;  // `namespace/name`
  const Workload* FindWorkload(const net::IpAddress& address) const;
  std::vector<const Workload*> FindWorkloads(const spiffe::SpiffeId& identity) const;
  const Service* FindService(absl::string_view key) const;
  const Service* FindService(const net::IpAddress& cluster_ip) const;
  // The workloads of `ns` that `selector` selects, by name. Costs as much as the rarest of the
  // selector's labels is common.
  std::vector<const Workload*> Select(absl::string_view ns, const Labels& selector) const;
  // The Services whose endpoint `workload` is, by name.
  std::vector<const Service*> ServicesOf(const Workload& workload) const;
  // The routes with a parent that is the Service, its producers' and all consumers', the oldest
  // first, then by namespace and name.
  const std::vector<const HttpRoute*>& RoutesOf(const Service& service) const;
  const ReferenceGrants& grants() const { return grants_; }
  // Routes' references to Services of other namespaces that no grant allows. What would go there is
  // answered with 500.
  const std::vector<ConfigError>& ungranted() const { return ungranted_; }
  // What is said of this port: by a policy that names it, or by one that does not; the oldest, then
  // the first by name. Null if nothing is said.
  const TrafficPolicy* PolicyOf(const Service& service, const ServicePort& port) const;
  // The policies of `ns`, oldest first, then by name.
  const std::vector<const PeerAuthentication*>& PoliciesOf(absl::string_view ns) const;

 private:
  class Builder;
  Model() = default;

  // Neither names nor labels contain a NUL.
  static std::string LabelKey(absl::string_view ns, absl::string_view key, absl::string_view value);

  uint64_t version_ = 0;
  absl::Time changed_at_;
  Mesh mesh_;
  std::vector<PeerAuthentication> peer_authentications_;
  std::vector<Workload> workloads_;
  std::vector<Service> services_;
  std::vector<TrafficPolicy> traffic_policies_;
  std::vector<HttpRoute> routes_;
  ReferenceGrants grants_;
  std::vector<ConfigError> ungranted_;

  absl::flat_hash_map<std::string, const Workload*> workload_by_key_;
  absl::flat_hash_map<net::IpAddress, const Workload*> workload_by_address_;
  absl::flat_hash_map<std::string, std::vector<const Workload*>> workloads_by_identity_;
  // By namespace, key and value.
  absl::flat_hash_map<std::string, std::vector<const Workload*>> workloads_by_label_;
  absl::flat_hash_map<std::string, const Service*> service_by_key_;
  // By namespace, and key and value of the selector's first label.
  absl::flat_hash_map<std::string, std::vector<const Service*>> services_by_label_;
  absl::flat_hash_map<net::IpAddress, const Service*> service_by_ip_;
  absl::flat_hash_map<std::string, std::vector<const PeerAuthentication*>> policies_by_namespace_;
  // By the Service's key.
  absl::flat_hash_map<std::string, std::vector<const HttpRoute*>> routes_by_service_;
  absl::flat_hash_map<std::string, std::vector<const TrafficPolicy*>> traffic_policies_by_service_;
};

}  // namespace countersign::control::registry

#endif  // COUNTERSIGN_CONTROL_REGISTRY_MODEL_H_
