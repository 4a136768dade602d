#include "control/compile/destination.h"

#include <map>
#include <set>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "api/xds/http_inspector.pb.h"
#include "api/xds/http_protocol_options.pb.h"
#include "api/xds/names.h"
#include "control/compile/cluster_policy.h"
#include "control/compile/http.h"
#include "control/compile/peer_policy.h"
#include "control/compile/port_facts.h"
#include "control/compile/route_action.h"
#include "control/compile/routes.h"
#include "control/compile/standing_listeners.h"
#include "control/compile/transport_sockets.h"

namespace countersign::control::compile {
namespace {

namespace cluster = ::envoy::config::cluster::v3;
namespace endpoint = ::envoy::config::endpoint::v3;
namespace listener = ::envoy::config::listener::v3;
namespace route = ::envoy::config::route::v3;
using mesh::v1alpha1::ExternalWorkloadSpec;
using mesh::v1alpha1::MutualTls;
using registry::Workload;

constexpr int kConnectTimeoutSeconds = 5;

struct Target {
  const Workload* workload;
  net::IpAddress ip;
  uint16_t port;
};

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
    const uint16_t target = registry::TargetPort(*port, *workload);
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

// What the endpoints speak, for whoever does not read our metadata.
void SetUpstreamProtocol(registry::PortProtocol protocol,
                         const mesh::v1alpha1::TrafficPolicySpec* policy, cluster::Cluster* out) {
  ::envoy::extensions::upstreams::http::v3::HttpProtocolOptions options;
  switch (protocol) {
    case registry::PortProtocol::kTcp:
      return;
    case registry::PortProtocol::kAuto:
      options.mutable_use_downstream_protocol_config()->mutable_http_protocol_options();
      options.mutable_use_downstream_protocol_config()->mutable_http2_protocol_options();
      break;
    case registry::PortProtocol::kHttp1:
      options.mutable_explicit_http_config()->mutable_http_protocol_options();
      break;
    case registry::PortProtocol::kHttp2:
      options.mutable_explicit_http_config()->mutable_http2_protocol_options();
      break;
  }
  if (policy != nullptr) {
    ApplyPolicy(*policy, &options);
  }
  (*out->mutable_typed_extension_protocol_options())[xds::kHttpProtocolOptions].PackFrom(options);
}

void AddEndpoint(const registry::Model& model, const Target& target,
                 endpoint::LocalityLbEndpoints* out) {
  const ExternalWorkloadSpec::Tunnel tunnel = TunnelOf(model, target);
  endpoint::LbEndpoint* lb = out->add_lb_endpoints();
  auto* address = lb->mutable_endpoint()->mutable_address()->mutable_socket_address();
  address->set_address(target.ip.ToString());
  address->set_port_value(target.port);
  if (target.workload->weight != 1) {
    lb->mutable_load_balancing_weight()->set_value(target.workload->weight);
  }
  auto& metadata = *lb->mutable_metadata()->mutable_filter_metadata();
  auto& ours = *metadata[xds::kMetadata].mutable_fields();
  ours[xds::kWorkloadKey].set_string_value(target.workload->name);
  ours[xds::kNamespaceKey].set_string_value(target.workload->ns);
  switch (tunnel) {
    case ExternalWorkloadSpec::HBONE:
      ours[xds::kMeshHttpKey].set_bool_value(true);
      [[fallthrough]];
    case ExternalWorkloadSpec::HBONE_ONLY:
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

// What is said of a workload's own port by the one Service that leads there. A headless Service's
// name stands for the workloads' addresses, so of several it is the one that was meant. Null where
// it cannot be told which Service or, of one that leads there by several ports, which port was.
const registry::TrafficPolicy* PolicyOfWorkload(const registry::Model& model,
                                                const Workload& workload, uint16_t port) {
  struct Leading {
    std::set<const registry::Service*> services;
    std::set<const registry::TrafficPolicy*> policies;
  };
  Leading headless, others;
  for (const registry::Service* service : model.ServicesOf(workload)) {
    Leading& leading = service->cluster_ips.empty() ? headless : others;
    for (const registry::ServicePort& one : service->ports) {
      if (registry::TargetPort(one, workload) == port) {
        leading.services.insert(service);
        leading.policies.insert(model.PolicyOf(*service, one));
      }
    }
  }
  const Leading& meant = headless.services.empty() ? others : headless;
  const bool one = meant.services.size() == 1 && meant.policies.size() == 1;
  return one ? *meant.policies.begin() : nullptr;
}

// Null where nothing is said.
const mesh::v1alpha1::TrafficPolicySpec* PolicyOf(const registry::Model& model,
                                                  const Destination& destination) {
  const registry::TrafficPolicy* policy = nullptr;
  if (destination.workload != nullptr) {
    policy = PolicyOfWorkload(model, *destination.workload, destination.port);
  } else if (const auto* port = destination.service->FindPort(destination.port); port != nullptr) {
    policy = model.PolicyOf(*destination.service, *port);
  }
  return policy == nullptr ? nullptr : policy->spec.get();
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

registry::PortProtocol ProtocolAt(const registry::Model& model, const Destination& destination) {
  if (destination.service != nullptr) {
    const registry::ServicePort* port = destination.service->FindPort(destination.port);
    return port == nullptr ? registry::PortProtocol::kTcp : port->protocol;
  }
  const std::map<uint16_t, PortFacts> ports = PortsOf(model, *destination.workload);
  auto it = ports.find(destination.port);
  return it == ports.end() ? registry::PortProtocol::kAuto : it->second.protocol;
}

listener::Listener DestinationListener(const registry::Model& model, const net::Address& address,
                                       const Destination& destination) {
  listener::Listener out;
  out.set_name(absl::StrCat(xds::kDestinationPrefix, address.ToString()));
  auto* socket = out.mutable_address()->mutable_socket_address();
  socket->set_address(address.ip().ToString());
  socket->set_port_value(address.port());
  out.mutable_bind_to_port()->set_value(false);  // reached through `outbound`
  out.set_traffic_direction(envoy::config::core::v3::OUTBOUND);
  const std::string cluster = destination.ClusterName();
  const registry::PortProtocol protocol = ProtocolAt(model, destination);
  if (protocol != registry::PortProtocol::kTcp) {
    HttpConnectionManager manager = ConnectionManager(model, cluster);
    manager.mutable_rds()->set_route_config_name(cluster);
    auto* source = manager.mutable_rds()->mutable_config_source();
    source->mutable_ads();
    source->set_resource_api_version(envoy::config::core::v3::V3);
    listener::FilterChain* http = out.add_filter_chains();
    FillHttpChain(absl::StrCat(cluster, " http"), manager, http);
    (*(*http->mutable_metadata()->mutable_filter_metadata())[xds::kMetadata]
          .mutable_fields())[xds::kClusterKey]
        .set_string_value(cluster);
    if (protocol == registry::PortProtocol::kAuto) {
      for (const char* found : xds::kInspectedHttp) {
        http->mutable_filter_chain_match()->add_application_protocols(found);
      }
      listener::ListenerFilter* inspector = out.add_listener_filters();
      inspector->set_name(xds::kHttpInspectorFilter);
      inspector->mutable_typed_config()->PackFrom(
          envoy::extensions::filters::listener::http_inspector::v3::HttpInspector());
    }
  }
  if (protocol == registry::PortProtocol::kTcp || protocol == registry::PortProtocol::kAuto) {
    FillTcpProxyChain(cluster, cluster, out.add_filter_chains());
  }
  return out;
}

std::optional<route::RouteConfiguration> DestinationRoutes(const registry::Model& model,
                                                           const Destination& destination,
                                                           const std::string& caller_ns) {
  if (ProtocolAt(model, destination) == registry::PortProtocol::kTcp) {
    return std::nullopt;
  }
  route::RouteConfiguration out;
  out.set_name(destination.ClusterName());
  out.mutable_validate_clusters()->set_value(false);
  out.set_ignore_port_in_host_matching(true);
  if (destination.service != nullptr) {
    FillServiceRoutes(model,
                      {.service = *destination.service,
                       .port = *destination.service->FindPort(destination.port),
                       .cluster = destination.ClusterName(),
                       .caller_ns = caller_ns},
                      &out);
  } else {
    FillDefaultRoute(destination.ClusterName(), PolicyOf(model, destination),
                     AddCatchAll(&out)->add_routes());
  }
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
  const registry::PortProtocol protocol = ProtocolAt(model, destination);
  const mesh::v1alpha1::TrafficPolicySpec* policy = PolicyOf(model, destination);
  if (policy != nullptr) {
    ApplyPolicy(*policy, &out);
  }
  SetUpstreamProtocol(protocol, policy, &out);
  auto& ours =
      *(*out.mutable_metadata()->mutable_filter_metadata())[xds::kMetadata].mutable_fields();
  ours[xds::kProtocolKey].set_string_value(ProtocolName(protocol));
  if (destination.service != nullptr) {
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
  const mesh::v1alpha1::TrafficPolicySpec* policy = PolicyOf(model, destination);
  const std::vector<Target> targets = Targets(model, destination);
  // Priorities are numbered without gaps, as Envoy wants them.
  std::map<uint32_t, uint32_t> priorities;
  for (const Target& target : targets) {
    priorities[PriorityOf(policy, target.workload->locality)];
  }
  uint32_t next = 0;
  for (auto& [wanted, priority] : priorities) {
    priority = next++;
  }
  std::map<registry::Locality, endpoint::LocalityLbEndpoints*> localities;
  for (const Target& target : targets) {
    const registry::Locality& where = target.workload->locality;
    endpoint::LocalityLbEndpoints*& group = localities[where];
    if (group == nullptr) {
      group = out.add_endpoints();
      group->set_priority(priorities.at(PriorityOf(policy, where)));
      if (!where.region.empty()) {
        group->mutable_locality()->set_region(where.region);
        group->mutable_locality()->set_zone(where.zone);
        group->mutable_locality()->set_sub_zone(where.sub_zone);
      }
    }
    AddEndpoint(model, target, group);
  }
  return out;
}

}  // namespace countersign::control::compile
