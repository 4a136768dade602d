#include "control/compile/standing_listeners.h"

#include <map>
#include <optional>

#include "absl/strings/str_cat.h"
#include "api/net/alpn.h"
#include "api/xds/http_inspector.pb.h"
#include "api/xds/names.h"
#include "api/xds/original_dst.pb.h"
#include "api/xds/tcp_proxy.pb.h"
#include "api/xds/tls_inspector.pb.h"
#include "control/compile/http.h"
#include "control/compile/peer_policy.h"
#include "control/compile/port_facts.h"
#include "control/compile/transport_sockets.h"

namespace countersign::control::compile {
namespace {

namespace cluster = ::envoy::config::cluster::v3;
namespace listener = ::envoy::config::listener::v3;
using mesh::v1alpha1::MutualTls;
using registry::PortProtocol;

constexpr uint32_t kInboundPort = 15006;
constexpr uint32_t kOutboundPort = 15001;
constexpr int kConnectTimeoutSeconds = 5;

void SetAnyAddress(uint32_t port, listener::Listener* out) {
  auto* address = out->mutable_address()->mutable_socket_address();
  address->set_address("0.0.0.0");
  address->set_port_value(port);
}

void AddOriginalDst(listener::Listener* out) {
  auto* filter = out->add_listener_filters();
  filter->set_name(xds::kOriginalDstFilter);
  filter->mutable_typed_config()->PackFrom(
      envoy::extensions::filters::listener::original_dst::v3::OriginalDst());
}

void SetText(const char* key, const std::string& value, envoy::config::core::v3::Metadata* out) {
  (*(*out->mutable_filter_metadata())[xds::kMetadata].mutable_fields())[key].set_string_value(
      value);
}

// The connection manager before the application: everything goes to it.
HttpConnectionManager ApplicationManager(const registry::Model& model) {
  HttpConnectionManager manager = ConnectionManager(model, xds::kInboundCluster);
  auto* routes = manager.mutable_route_config();
  routes->set_name(xds::kInboundCluster);
  FillApplicationRoute(xds::kInboundCluster, AddCatchAll(routes)->add_routes());
  return manager;
}

// The chains of one port, or of all others.
class ChainWriter {
 public:
  ChainWriter(const HttpConnectionManager& manager, listener::Listener* out)
      : manager_(manager), out_(*out) {}

  void Write(std::optional<uint16_t> port, const PortFacts& facts, const MtlsDecision& decision) {
    port_ = port;
    facts_ = facts;
    decision_ = decision;
    if (decision.mode != MutualTls::DISABLE) {
      // Mesh peers say by ALPN what they bring.
      AddMtls("mtls http", net::kMeshHttpAlpn, true);
      AddMtls("mtls", net::kMeshAlpn, false);
    }
    if (decision.mode == MutualTls::STRICT) {
      return;
    }
    // TLS that is not the mesh's belongs to the application.
    Add("foreign-tls", false)->mutable_filter_chain_match()->set_transport_protocol("tls");
    if (facts.protocol != PortProtocol::kTcp) {
      listener::FilterChainMatch* match = Add("plaintext http", true)->mutable_filter_chain_match();
      match->set_transport_protocol("raw_buffer");
      if (facts.protocol == PortProtocol::kAuto) {
        for (const char* found : xds::kInspectedHttp) {
          match->add_application_protocols(found);
        }
      }
    }
    if (facts.protocol == PortProtocol::kTcp || facts.protocol == PortProtocol::kAuto) {
      Add("plaintext", false)->mutable_filter_chain_match()->set_transport_protocol("raw_buffer");
    }
  }

 private:
  listener::FilterChain* Add(const char* what, bool http) {
    listener::FilterChain* chain = out_.add_filter_chains();
    const std::string mode = MutualTls::Mode_Name(decision_.mode);
    const std::string name = absl::StrCat(port_.has_value() ? absl::StrCat(*port_) : "*", " ", mode,
                                          " ", decision_.policy, " ", what);
    if (http) {
      FillHttpChain(name, manager_, chain);
    } else {
      FillTcpProxyChain(name, xds::kInboundCluster, chain);
    }
    if (port_.has_value()) {
      chain->mutable_filter_chain_match()->mutable_destination_port()->set_value(*port_);
    }
    envoy::config::core::v3::Metadata* metadata = chain->mutable_metadata();
    SetText(xds::kPolicyKey, decision_.policy, metadata);
    SetText(xds::kModeKey, mode, metadata);
    SetText(xds::kProtocolKey, ProtocolName(facts_.protocol), metadata);
    if (facts_.service != nullptr) {
      SetText(xds::kServiceKey, facts_.service->name, metadata);
      SetText(xds::kNamespaceKey, facts_.service->ns, metadata);
    }
    return chain;
  }

  void AddMtls(const char* what, const char* alpn, bool http) {
    listener::FilterChain* chain = Add(what, http);
    chain->mutable_filter_chain_match()->set_transport_protocol("tls");
    chain->mutable_filter_chain_match()->add_application_protocols(alpn);
    *chain->mutable_transport_socket() = DownstreamMtls(alpn);
  }

  const HttpConnectionManager& manager_;
  listener::Listener& out_;
  std::optional<uint16_t> port_;
  PortFacts facts_;
  MtlsDecision decision_;
};

}  // namespace

void FillTcpProxyChain(const std::string& name, const std::string& cluster,
                       listener::FilterChain* chain) {
  chain->set_name(name);
  envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy proxy;
  proxy.set_stat_prefix(cluster);
  proxy.set_cluster(cluster);
  listener::Filter* filter = chain->add_filters();
  filter->set_name(xds::kTcpProxyFilter);
  filter->mutable_typed_config()->PackFrom(proxy);
}

listener::Listener InboundListener(const registry::Model& model,
                                   const registry::Workload& workload) {
  listener::Listener out;
  out.set_name(xds::kInboundListener);
  SetAnyAddress(kInboundPort, &out);
  out.set_traffic_direction(envoy::config::core::v3::INBOUND);
  AddOriginalDst(&out);
  auto* inspector = out.add_listener_filters();
  inspector->set_name(xds::kTlsInspectorFilter);
  inspector->mutable_typed_config()->PackFrom(
      envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector());
  auto* http_inspector = out.add_listener_filters();
  http_inspector->set_name(xds::kHttpInspectorFilter);
  http_inspector->mutable_typed_config()->PackFrom(
      envoy::extensions::filters::listener::http_inspector::v3::HttpInspector());
  const WorkloadMtls mtls = DecideMtls(model, workload);
  std::map<uint16_t, PortFacts> ports = PortsOf(model, workload);
  for (const auto& [port, decision] : mtls.ports) {
    ports.try_emplace(port);
  }
  const HttpConnectionManager manager = ApplicationManager(model);
  ChainWriter writer(manager, &out);
  for (const auto& [port, facts] : ports) {
    writer.Write(port, facts, mtls.For(port));
  }
  writer.Write(std::nullopt, {}, mtls.fallback);
  if (model.mesh().http.forward_client_cert() == mesh::v1alpha1::HttpSettings::RFC9440) {
    SetText(xds::kClientCertKey, "rfc9440", out.mutable_metadata());
  }
  if (!workload.locality.region.empty()) {
    SetText(xds::kLocalityKey, workload.locality.ToString(), out.mutable_metadata());
  }
  return out;
}

listener::Listener OutboundListener(const registry::Model& model) {
  listener::Listener out;
  out.set_name(xds::kOutboundListener);
  SetAnyAddress(kOutboundPort, &out);
  out.set_traffic_direction(envoy::config::core::v3::OUTBOUND);
  out.mutable_use_original_dst()->set_value(true);
  AddOriginalDst(&out);
  const bool allow = model.mesh().outbound == mesh::v1alpha1::OutboundTrafficPolicy::ALLOW_ANY;
  const char* mode = allow ? "ALLOW_ANY" : "REGISTRY_ONLY";
  listener::FilterChain* chain = out.mutable_default_filter_chain();
  FillTcpProxyChain(absl::StrCat(mode, " ", model.mesh().policy_name),
                    allow ? xds::kPassthroughCluster : xds::kBlackHoleCluster, chain);
  SetText(xds::kPolicyKey, model.mesh().policy_name, chain->mutable_metadata());
  SetText(xds::kModeKey, mode, chain->mutable_metadata());
  return out;
}

bool StandingCluster(const std::string& name, cluster::Cluster* out) {
  if (name == xds::kBlackHoleCluster) {
    out->set_type(cluster::Cluster::STATIC);
    out->mutable_load_assignment()->set_cluster_name(name);
  } else if (name == xds::kPassthroughCluster || name == xds::kInboundCluster) {
    out->set_type(cluster::Cluster::ORIGINAL_DST);
    out->set_lb_policy(cluster::Cluster::CLUSTER_PROVIDED);
  } else {
    return false;
  }
  out->set_name(name);
  out->mutable_connect_timeout()->set_seconds(kConnectTimeoutSeconds);
  return true;
}

}  // namespace countersign::control::compile
