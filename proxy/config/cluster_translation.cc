#include "proxy/config/cluster_translation.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/xds/names.h"
#include "proxy/config/cluster_policy_translation.h"
#include "proxy/config/field_check.h"
#include "proxy/config/protocol.h"
#include "proxy/config/strict_fields.h"

namespace countersign::config {
namespace {

namespace cluster = ::envoy::config::cluster::v3;
namespace core = ::envoy::config::core::v3;
namespace endpoint = ::envoy::config::endpoint::v3;
using google::protobuf::Struct;

constexpr size_t kMaxEndpoints = 10'000;
constexpr int64_t kMaxConnectTimeoutSeconds = 600;
constexpr uint32_t kMaxPriority = 128;  // Envoy's

absl::Status Refuse(const std::string& path, absl::string_view reason) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", reason));
}

const Struct& MetadataOf(const core::Metadata& metadata, const char* ns) {
  auto it = metadata.filter_metadata().find(ns);
  return it == metadata.filter_metadata().end() ? Struct::default_instance() : it->second;
}

std::string Text(const Struct& fields, const char* key) {
  auto it = fields.fields().find(key);
  return it == fields.fields().end() ? "" : it->second.string_value();
}

absl::StatusOr<std::map<std::string, std::string>> TextMap(const Struct& in,
                                                           const std::string& path) {
  std::map<std::string, std::string> out;
  for (const auto& [key, value] : in.fields()) {
    if (value.kind_case() != google::protobuf::Value::kStringValue) {
      return Refuse(absl::StrCat(path, ".", key), "must be a string");
    }
    out[key] = value.string_value();
  }
  return out;
}

absl::StatusOr<net::Address> ToAddress(const core::Address& in, const std::string& path) {
  const core::SocketAddress& socket = in.socket_address();
  const absl::StatusOr<net::IpAddress> ip = net::IpAddress::Parse(socket.address());
  if (!ip.ok()) {
    return Refuse(absl::StrCat(path, ".socket_address.address"), ip.status().message());
  }
  if (socket.port_value() < 1 || socket.port_value() > 65535) {
    return Refuse(absl::StrCat(path, ".socket_address.port_value"), "must be 1 to 65535");
  }
  if (socket.protocol() != core::SocketAddress::TCP) {
    return Refuse(absl::StrCat(path, ".socket_address.protocol"), "must be TCP");
  }
  return net::Address(*ip, static_cast<uint16_t>(socket.port_value()));
}

absl::Status FillTransport(const Struct& ours, const std::string& path, EndpointResource* out) {
  const std::string transport = Text(ours, xds::kTransportKey);
  if (transport.empty()) {
    return absl::OkStatus();
  }
  out->has_transport = true;
  Endpoint& endpoint = out->endpoint;
  if (transport == "none") {
    endpoint.transport = EndpointTransport::kPlaintext;
    return absl::OkStatus();
  }
  if (transport == "hbone") {
    endpoint.transport = EndpointTransport::kHbone;
    auto port = ours.fields().find(xds::kTunnelPortKey);
    const double number = port == ours.fields().end() ? 0 : port->second.number_value();
    if (!(number >= 1 && number <= 65535) || number != std::floor(number)) {
      return Refuse(absl::StrCat(path, ".", xds::kTunnelPortKey), "must be 1 to 65535");
    }
    endpoint.tunnel = net::Address(endpoint.address.ip(), static_cast<uint16_t>(number));
    auto mesh_http = ours.fields().find(xds::kMeshHttpKey);
    endpoint.mesh_http = mesh_http != ours.fields().end() && mesh_http->second.bool_value();
  } else if (transport == "tls") {
    endpoint.transport = EndpointTransport::kTls;
  } else {
    return Refuse(absl::StrCat(path, ".", xds::kTransportKey), "must be `hbone`, `tls` or `none`");
  }
  absl::StatusOr<spiffe::SpiffeId> id = spiffe::SpiffeId::Parse(Text(ours, xds::kIdentityKey));
  if (!id.ok()) {
    return Refuse(absl::StrCat(path, ".", xds::kIdentityKey),
                  absl::StrCat("the identity that must answer is required: ",
                               std::string(id.status().message())));
  }
  endpoint.identity = *std::move(id);
  return absl::OkStatus();
}

absl::StatusOr<EndpointResource> TranslateEndpoint(const endpoint::LbEndpoint& in,
                                                   const std::string& path) {
  EndpointResource out;
  const absl::StatusOr<net::Address> address =
      ToAddress(in.endpoint().address(), absl::StrCat(path, ".endpoint.address"));
  if (!address.ok()) {
    return address.status();
  }
  out.endpoint.address = *address;
  const Struct& ours = MetadataOf(in.metadata(), xds::kMetadata);
  out.endpoint.workload = Text(ours, xds::kWorkloadKey);
  out.endpoint.workload_namespace = Text(ours, xds::kNamespaceKey);
  if (in.has_load_balancing_weight()) {
    if (in.load_balancing_weight().value() == 0) {
      return Refuse(absl::StrCat(path, ".load_balancing_weight"), "must be at least 1");
    }
    out.endpoint.weight = in.load_balancing_weight().value();
  }
  absl::StatusOr<std::map<std::string, std::string>> match =
      TextMap(MetadataOf(in.metadata(), xds::kSocketMatchMetadata),
              absl::StrCat(path, ".metadata.", xds::kSocketMatchMetadata));
  if (!match.ok()) {
    return match.status();
  }
  out.socket_match = *std::move(match);
  if (absl::Status status =
          FillTransport(ours, absl::StrCat(path, ".metadata.", xds::kMetadata), &out);
      !status.ok()) {
    return status;
  }
  return out;
}

absl::StatusOr<EndpointsResource> TranslateAssignment(const endpoint::ClusterLoadAssignment& in,
                                                      const std::string& path) {
  EndpointsResource out;
  if (in.policy().has_overprovisioning_factor()) {
    out.overprovisioning_percent = in.policy().overprovisioning_factor().value();
    if (*out.overprovisioning_percent < 100 || *out.overprovisioning_percent > 10'000) {
      return Refuse(absl::StrCat(path, ".policy.overprovisioning_factor"), "must be 100 to 10000");
    }
  }
  for (int i = 0; i < in.endpoints_size(); ++i) {
    const endpoint::LocalityLbEndpoints& group = in.endpoints(i);
    if (group.priority() > kMaxPriority) {
      return Refuse(absl::StrCat(path, ".endpoints[", i, "].priority"),
                    absl::StrCat("must be 0 to ", kMaxPriority));
    }
    for (int j = 0; j < in.endpoints(i).lb_endpoints_size(); ++j) {
      const endpoint::LbEndpoint& lb = in.endpoints(i).lb_endpoints(j);
      if (out.endpoints.size() >= kMaxEndpoints) {
        return Refuse(path, absl::StrCat("has more than ", kMaxEndpoints, " endpoints"));
      }
      absl::StatusOr<EndpointResource> translated =
          TranslateEndpoint(lb, absl::StrCat(path, ".endpoints[", i, "].lb_endpoints[", j, "]"));
      if (!translated.ok()) {
        return translated.status();
      }
      if (lb.health_status() != core::UNHEALTHY && lb.health_status() != core::DRAINING &&
          lb.health_status() != core::TIMEOUT) {
        translated->endpoint.priority = group.priority();
        translated->endpoint.locality = {group.locality().region(), group.locality().zone(),
                                         group.locality().sub_zone()};
        translated->endpoint.healthy = lb.health_status() != core::DEGRADED;
        out.endpoints.push_back(*std::move(translated));
      }
    }
  }
  return out;
}

bool Contains(const std::map<std::string, std::string>& all,
              const std::map<std::string, std::string>& some) {
  return std::all_of(some.begin(), some.end(), [&](const auto& entry) {
    auto it = all.find(entry.first);
    return it != all.end() && it->second == entry.second;
  });
}

// Decides by the cluster's socket matches. False where the endpoint cannot be verified.
bool DecideTransport(const ClusterResource& cluster, const EndpointResource& in, Endpoint* out) {
  for (const ClusterResource::SocketMatch& match : cluster.socket_matches) {
    if (!Contains(in.socket_match, match.match)) {
      continue;
    }
    if (!match.socket.mtls) {
      out->transport = EndpointTransport::kPlaintext;
      return true;
    }
    if (match.socket.identities.size() != 1) {
      return false;
    }
    out->transport = EndpointTransport::kTls;
    out->identity = match.socket.identities[0];
    return true;
  }
  out->transport = EndpointTransport::kPlaintext;
  return true;
}

}  // namespace

absl::StatusOr<ClusterResource> TranslateCluster(const cluster::Cluster& in) {
  const std::string path = absl::StrCat("cluster `", in.name(), "`");
  if (absl::Status status = RefuseUnknownFields(in, path); !status.ok()) {
    return status;
  }
  ClusterResource out;
  out.cluster.name = in.name();
  const Struct& ours = MetadataOf(in.metadata(), xds::kMetadata);
  out.cluster.service = Text(ours, xds::kServiceKey);
  out.cluster.service_namespace = Text(ours, xds::kNamespaceKey);
  if (in.has_connect_timeout()) {
    const google::protobuf::Duration& timeout = in.connect_timeout();
    if (timeout.seconds() < 0 || timeout.nanos() < 0 || timeout.nanos() > 999'999'999 ||
        timeout.seconds() > kMaxConnectTimeoutSeconds ||
        (timeout.seconds() == 0 && timeout.nanos() < 1'000'000)) {
      return Refuse(absl::StrCat(path, ".connect_timeout"), "must be 1 ms to 600 s");
    }
    out.cluster.connect_timeout =
        std::chrono::milliseconds(timeout.seconds() * 1000 + timeout.nanos() / 1'000'000);
  }
  FieldCheck check;
  if (const std::string name = Text(ours, xds::kProtocolKey); !name.empty()) {
    const std::optional<AppProtocol> protocol = ProtocolOfName(name);
    if (!protocol.has_value()) {
      return Refuse(absl::StrCat(path, ".metadata.", xds::kMetadata, ".", xds::kProtocolKey),
                    "must be `auto`, `tcp`, `http` or `http2`");
    }
    TranslatePool(in, path, &check, &out.cluster, &out.protocol_said);
    out.cluster.protocol = *protocol;
    out.protocol_said = true;
  } else {
    TranslatePool(in, path, &check, &out.cluster, &out.protocol_said);
  }
  TranslateBalancing(in, path, &check, &out.cluster);
  TranslateHealthChecks(in, path, &check, &out.cluster);
  if (in.has_outlier_detection()) {
    TranslateOutlierDetection(in.outlier_detection(), absl::StrCat(path, ".outlier_detection"),
                              &check, &out.cluster.outlier);
  }
  TranslateCircuitBreakers(in.circuit_breakers(), absl::StrCat(path, ".circuit_breakers"), &check,
                           &out.cluster.breakers);
  if (!check.ok()) {
    return check.status();
  }
  switch (in.type()) {
    case cluster::Cluster::EDS:
      out.kind = ClusterResource::Kind::kEds;
      if (!in.eds_cluster_config().eds_config().has_ads()) {
        return Refuse(absl::StrCat(path, ".eds_cluster_config.eds_config"), "must be ads");
      }
      out.endpoints_name = in.eds_cluster_config().service_name().empty()
                               ? in.name()
                               : in.eds_cluster_config().service_name();
      break;
    case cluster::Cluster::STATIC: {
      out.kind = ClusterResource::Kind::kStatic;
      absl::StatusOr<EndpointsResource> endpoints =
          TranslateAssignment(in.load_assignment(), absl::StrCat(path, ".load_assignment"));
      if (!endpoints.ok()) {
        return endpoints.status();
      }
      out.static_endpoints = *std::move(endpoints);
      break;
    }
    case cluster::Cluster::ORIGINAL_DST:
      out.kind = ClusterResource::Kind::kOriginalDst;
      break;
    default:
      return Refuse(absl::StrCat(path, ".type"),
                    absl::StrCat(cluster::Cluster::DiscoveryType_Name(in.type()),
                                 " is not honoured; EDS, STATIC and ORIGINAL_DST are"));
  }
  for (int i = 0; i < in.transport_socket_matches_size(); ++i) {
    const cluster::Cluster::TransportSocketMatch& match = in.transport_socket_matches(i);
    const std::string match_path = absl::StrCat(path, ".transport_socket_matches[", i, "]");
    absl::StatusOr<std::map<std::string, std::string>> labels =
        TextMap(match.match(), absl::StrCat(match_path, ".match"));
    if (!labels.ok()) {
      return labels.status();
    }
    absl::StatusOr<UpstreamSocket> socket = TranslateUpstreamSocket(
        match.transport_socket(), absl::StrCat(match_path, ".transport_socket"));
    if (!socket.ok()) {
      return socket.status();
    }
    out.socket_matches.push_back({*std::move(labels), *std::move(socket)});
  }
  return out;
}

absl::StatusOr<EndpointsResource> TranslateEndpoints(const endpoint::ClusterLoadAssignment& in) {
  const std::string path = absl::StrCat("endpoints `", in.cluster_name(), "`");
  if (absl::Status status = RefuseUnknownFields(in, path); !status.ok()) {
    return status;
  }
  return TranslateAssignment(in, path);
}

std::shared_ptr<const Cluster> AssembleCluster(const ClusterResource& cluster,
                                               const EndpointsResource& endpoints) {
  auto out = std::make_shared<Cluster>(cluster.cluster);
  out->overprovisioning_percent =
      endpoints.overprovisioning_percent.value_or(out->overprovisioning_percent);
  for (const EndpointResource& in : endpoints.endpoints) {
    Endpoint endpoint = in.endpoint;
    if (in.has_transport || DecideTransport(cluster, in, &endpoint)) {
      out->endpoints.push_back(std::move(endpoint));
    }
  }
  return out;
}

}  // namespace countersign::config
