#include "control/compile/standing_listeners.h"

#include <optional>

#include "api/net/alpn.h"
#include "absl/strings/str_cat.h"
#include "api/xds/names.h"
#include "api/xds/original_dst.pb.h"
#include "api/xds/tcp_proxy.pb.h"
#include "api/xds/tls_inspector.pb.h"
#include "control/compile/peer_policy.h"
#include "control/compile/transport_sockets.h"

namespace countersign::control::compile {
namespace {

namespace cluster = ::envoy::config::cluster::v3;
namespace listener = ::envoy::config::listener::v3;
using mesh::v1alpha1::MutualTls;

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

// The chains of one port, or of all others.
void AddChains(std::optional<uint16_t> port, const MtlsDecision& decision,
               listener::Listener* out) {
  const std::string where = port.has_value() ? absl::StrCat(*port) : "*";
  const auto add = [&](const char* what) {
    listener::FilterChain* chain = out->add_filter_chains();
    FillTcpProxyChain(absl::StrCat(where, " ", MutualTls::Mode_Name(decision.mode), " ",
                                   decision.policy, " ", what),
                      xds::kInboundCluster, chain);
    if (port.has_value()) {
      chain->mutable_filter_chain_match()->mutable_destination_port()->set_value(*port);
    }
    SetText(xds::kPolicyKey, decision.policy, chain->mutable_metadata());
    SetText(xds::kModeKey, MutualTls::Mode_Name(decision.mode), chain->mutable_metadata());
    return chain;
  };
  if (decision.mode != MutualTls::DISABLE) {
    listener::FilterChain* mtls = add("mtls");
    mtls->mutable_filter_chain_match()->set_transport_protocol("tls");
    mtls->mutable_filter_chain_match()->add_application_protocols(net::kMeshAlpn);
    *mtls->mutable_transport_socket() = DownstreamMtls();
  }
  if (decision.mode != MutualTls::STRICT) {
    // TLS that is not the mesh's belongs to the application.
    add("foreign-tls")->mutable_filter_chain_match()->set_transport_protocol("tls");
    add("plaintext")->mutable_filter_chain_match()->set_transport_protocol("raw_buffer");
  }
}

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
  const WorkloadMtls mtls = DecideMtls(model, workload);
  for (const auto& [port, decision] : mtls.ports) {
    AddChains(port, decision, &out);
  }
  AddChains(std::nullopt, mtls.fallback, &out);
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
