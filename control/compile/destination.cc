#include "control/compile/destination.h"

#include <set>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "api/xds/names.h"
#include "control/compile/peer_policy.h"
#include "control/compile/standing_listeners.h"
#include "control/compile/transport_sockets.h"

namespace countersign::control::compile {
namespace {

namespace cluster = ::envoy::config::cluster::v3;
namespace endpoint = ::envoy::config::endpoint::v3;
namespace listener = ::envoy::config::listener::v3;
using mesh::v1alpha1::ExternalWorkloadSpec;
using mesh::v1alpha1::MutualTls;
using registry::Workload;

constexpr char kServicePrefix[] = "service/";
constexpr char kWorkloadPrefix[] = "workload/";
constexpr int kConnectTimeoutSeconds = 5;

struct Target {
  const Workload* workload;
  net::IpAddress ip;
  uint16_t port;
};

// Where `workload` listens for `port`; 0 where it has no port of that name.
uint16_t TargetPort(const registry::ServicePort& port, const Workload& workload) {
  if (port.target != 0) {
    return port.target;
  }
  for (const registry::WorkloadPort& p : workload.ports) {
    if (p.name == port.target_name) {
      return p.port;
    }
  }
  return 0;
}

std::vector<Target> Targets(const registry::Model& model, const Destination& destination) {
  if (destination.workload != nullptr) {
    return {{destination.workload, destination.address, destination.port}};
  }
  const registry::Service& service = *destination.service;
  const registry::ServicePort* port = service.FindPort(destination.port);
  std::vector<Target> same, other;
  if (port == nullptr) {
    return same;
  }
  for (const Workload* workload : model.Select(service.ns, service.selector)) {
    const uint16_t target = TargetPort(*port, *workload);
    if (target == 0) {
      continue;
    }
    const net::IpAddress* first[2] = {nullptr, nullptr};
    for (const net::IpAddress& ip : workload->addresses) {
      const net::IpAddress*& slot = first[ip.is_v4() == destination.v4 ? 0 : 1];
      slot = slot == nullptr ? &ip : slot;
    }
    if (first[0] != nullptr) {
      same.push_back({workload, *first[0], target});
    } else {
      other.push_back({workload, *first[1], target});
    }
  }
  // As Kubernetes has it, an address of one family leads to that family's endpoints; the other
  // family's are better than nothing, and an application does not see which its proxy uses.
  return same.empty() ? other : same;
}

ExternalWorkloadSpec::Tunnel TunnelOf(const registry::Model& model, const Target& target) {
  if (DecideMtls(model, *target.workload).For(target.port).mode == MutualTls::DISABLE) {
    return ExternalWorkloadSpec::NONE;
  }
  return target.workload->tunnel;
}

void AddEndpoint(const registry::Model& model, const Target& target,
                 endpoint::LocalityLbEndpoints* out) {
  const ExternalWorkloadSpec::Tunnel tunnel = TunnelOf(model, target);
  endpoint::LbEndpoint* lb = out->add_lb_endpoints();
  auto* address = lb->mutable_endpoint()->mutable_address()->mutable_socket_address();
  address->set_address(target.ip.ToString());
  address->set_port_value(target.port);
  auto& metadata = *lb->mutable_metadata()->mutable_filter_metadata();
  auto& ours = *metadata[xds::kMetadata].mutable_fields();
  ours[xds::kWorkloadKey].set_string_value(target.workload->name);
  ours[xds::kNamespaceKey].set_string_value(target.workload->ns);
  switch (tunnel) {
    case ExternalWorkloadSpec::HBONE:
      ours[xds::kTransportKey].set_string_value("hbone");
      ours[xds::kTunnelPortKey].set_number_value(target.workload->tunnel_port);
      break;
    case ExternalWorkloadSpec::TLS:
      ours[xds::kTransportKey].set_string_value("tls");
      break;
    default:
      ours[xds::kTransportKey].set_string_value("none");
      return;
  }
  ours[xds::kIdentityKey].set_string_value(target.workload->identity.ToString());
  // Whoever speaks no HBONE (a stock Envoy) reaches every mesh peer by TLS on the port itself.
  (*metadata[xds::kSocketMatchMetadata].mutable_fields())[xds::kSocketMatchKey].set_string_value(
      "true");
}

}  // namespace

std::string Destination::ClusterName() const {
  if (service != nullptr) {
    return absl::StrCat(kServicePrefix, service->Key(), ":", port, v4 ? "/v4" : "/v6");
  }
  return absl::StrCat(kWorkloadPrefix, workload->Key(), "/",
                      net::Address(address, port).ToString());
}

std::optional<Destination> DestinationAt(const registry::Model& model,
                                         const net::Address& address) {
  Destination destination;
  destination.port = address.port();
  destination.service = model.FindService(address.ip());
  if (destination.service != nullptr) {
    destination.v4 = address.ip().is_v4();
    return destination;
  }
  destination.workload = model.FindWorkload(address.ip());
  if (destination.workload != nullptr) {
    destination.address = address.ip();
    return destination;
  }
  return std::nullopt;
}

std::optional<Destination> DestinationOfCluster(const registry::Model& model,
                                                absl::string_view name) {
  Destination destination;
  if (absl::StartsWith(name, kWorkloadPrefix)) {
    absl::StatusOr<net::Address> address =
        net::Address::Parse(name.substr(name.find_last_of('/') + 1));
    if (!address.ok()) {
      return std::nullopt;
    }
    destination.workload = model.FindWorkload(address->ip());
    destination.address = address->ip();
    destination.port = address->port();
    if (destination.workload == nullptr) {
      return std::nullopt;
    }
  } else if (absl::StartsWith(name, kServicePrefix)) {
    destination.v4 = absl::EndsWith(name, "/v4");
    absl::string_view rest = name.substr(sizeof(kServicePrefix) - 1);
    const size_t slash = rest.find_last_of('/');
    const size_t colon = rest.find_last_of(':');
    uint32_t port = 0;
    if (slash == absl::string_view::npos || colon == absl::string_view::npos || colon > slash ||
        !absl::SimpleAtoi(rest.substr(colon + 1, slash - colon - 1), &port) || port > 65535) {
      return std::nullopt;
    }
    destination.service = model.FindService(rest.substr(0, colon));
    destination.port = static_cast<uint16_t>(port);
    if (destination.service == nullptr) {
      return std::nullopt;
    }
  } else {
    return std::nullopt;
  }
  // One name for one thing: nothing but the canonical spelling exists.
  if (destination.ClusterName() != name) {
    return std::nullopt;
  }
  return destination;
}

listener::Listener DestinationListener(const net::Address& address,
                                       const Destination& destination) {
  listener::Listener out;
  out.set_name(absl::StrCat(xds::kDestinationPrefix, address.ToString()));
  auto* socket = out.mutable_address()->mutable_socket_address();
  socket->set_address(address.ip().ToString());
  socket->set_port_value(address.port());
  out.mutable_bind_to_port()->set_value(false);  // reached through `outbound`
  out.set_traffic_direction(envoy::config::core::v3::OUTBOUND);
  const std::string cluster = destination.ClusterName();
  FillTcpProxyChain(cluster, cluster, out.add_filter_chains());
  return out;
}

cluster::Cluster DestinationCluster(const registry::Model& model, const Destination& destination) {
  cluster::Cluster out;
  out.set_name(destination.ClusterName());
  out.mutable_connect_timeout()->set_seconds(kConnectTimeoutSeconds);
  out.set_lb_policy(cluster::Cluster::LEAST_REQUEST);
  std::set<std::string> identities;
  for (const Target& target : Targets(model, destination)) {
    if (!target.workload->identity.empty()) {
      identities.insert(target.workload->identity.ToString());
    }
  }
  if (!identities.empty()) {
    auto* mtls = out.add_transport_socket_matches();
    mtls->set_name("mtls");
    (*mtls->mutable_match()->mutable_fields())[xds::kSocketMatchKey].set_string_value("true");
    *mtls->mutable_transport_socket() = UpstreamMtls(identities);
  }
  auto* plaintext = out.add_transport_socket_matches();
  plaintext->set_name("plaintext");
  plaintext->mutable_match();
  *plaintext->mutable_transport_socket() = Plaintext();
  if (destination.service != nullptr) {
    auto& ours =
        *(*out.mutable_metadata()->mutable_filter_metadata())[xds::kMetadata].mutable_fields();
    ours[xds::kServiceKey].set_string_value(destination.service->name);
    ours[xds::kNamespaceKey].set_string_value(destination.service->ns);
    out.set_type(cluster::Cluster::EDS);
    auto* source = out.mutable_eds_cluster_config()->mutable_eds_config();
    source->mutable_ads();
    source->set_resource_api_version(envoy::config::core::v3::V3);
  } else {
    out.set_type(cluster::Cluster::STATIC);
    *out.mutable_load_assignment() = DestinationEndpoints(model, destination);
  }
  return out;
}

endpoint::ClusterLoadAssignment DestinationEndpoints(const registry::Model& model,
                                                     const Destination& destination) {
  endpoint::ClusterLoadAssignment out;
  out.set_cluster_name(destination.ClusterName());
  const std::vector<Target> targets = Targets(model, destination);
  if (!targets.empty()) {
    endpoint::LocalityLbEndpoints* locality = out.add_endpoints();
    for (const Target& target : targets) {
      AddEndpoint(model, target, locality);
    }
  }
  return out;
}

}  // namespace countersign::control::compile
