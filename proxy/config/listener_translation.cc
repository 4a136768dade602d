#include "proxy/config/listener_translation.h"

#include <map>
#include <optional>

#include "api/net/alpn.h"
#include "absl/strings/str_cat.h"
#include "api/xds/names.h"
#include "api/xds/original_dst.pb.h"
#include "api/xds/tcp_proxy.pb.h"
#include "api/xds/tls_inspector.pb.h"
#include "proxy/config/strict_fields.h"
#include "proxy/config/tls_translation.h"

namespace countersign::config {
namespace {

namespace listener = ::envoy::config::listener::v3;

absl::Status Refuse(const std::string& path, absl::string_view reason) {
  return absl::InvalidArgumentError(absl::StrCat(path, ": ", reason));
}

std::string Text(const envoy::config::core::v3::Metadata& metadata, const char* key) {
  auto ours = metadata.filter_metadata().find(xds::kMetadata);
  if (ours == metadata.filter_metadata().end()) {
    return "";
  }
  auto value = ours->second.fields().find(key);
  return value == ours->second.fields().end() ? "" : value->second.string_value();
}

// The policy that a chain names; its own name where a control plane says nothing more.
std::string PolicyOf(const listener::FilterChain& chain) {
  std::string policy = Text(chain.metadata(), xds::kPolicyKey);
  return policy.empty() ? chain.name() : policy;
}

absl::Status CheckListener(const listener::Listener& in, const char* name) {
  if (in.name() != name) {
    return Refuse("name", absl::StrCat("must be `", name, "`"));
  }
  if (absl::Status status = RefuseUnknownFields(in, absl::StrCat("listener `", name, "`"));
      !status.ok()) {
    return status;
  }
  for (int i = 0; i < in.listener_filters_size(); ++i) {
    const std::string path = absl::StrCat("listener `", name, "`.listener_filters[", i, "]");
    const google::protobuf::Any& config = in.listener_filters(i).typed_config();
    envoy::extensions::filters::listener::original_dst::v3::OriginalDst original_dst;
    envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector inspector;
    const absl::Status status = config.Is<decltype(inspector)>()
                                    ? UnpackStrict(config, path, &inspector)
                                    : UnpackStrict(config, path, &original_dst);
    if (!status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

// The cluster of a chain's only filter, a TCP proxy.
absl::StatusOr<std::string> ClusterOf(const listener::FilterChain& chain, const std::string& path) {
  if (chain.filters_size() != 1) {
    return Refuse(absl::StrCat(path, ".filters"), "must be exactly one, a TCP proxy");
  }
  envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy proxy;
  if (absl::Status status = UnpackStrict(chain.filters(0).typed_config(),
                                         absl::StrCat(path, ".filters[0].typed_config"), &proxy);
      !status.ok()) {
    return status;
  }
  if (proxy.cluster().empty()) {
    return Refuse(absl::StrCat(path, ".filters[0].typed_config.cluster"), "is required");
  }
  return proxy.cluster();
}

// What the chains of one port allow.
struct Group {
  bool mtls = false;
  bool plaintext = false;
  std::string policy;
};

absl::Status AddChain(const listener::FilterChain& chain, const std::string& path, Group* group) {
  const listener::FilterChainMatch& match = chain.filter_chain_match();
  const absl::StatusOr<bool> mtls =
      IsDownstreamMtls(chain.transport_socket(), absl::StrCat(path, ".transport_socket"));
  if (!mtls.ok()) {
    return mtls.status();
  }
  const std::string match_path = absl::StrCat(path, ".filter_chain_match");
  const std::string& transport = match.transport_protocol();
  if (!transport.empty() && transport != "tls" && transport != "raw_buffer") {
    return Refuse(absl::StrCat(match_path, ".transport_protocol"),
                  "must be `tls`, `raw_buffer` or unset");
  }
  if (*mtls) {
    if (transport != "tls") {
      return Refuse(absl::StrCat(match_path, ".transport_protocol"),
                    "must be `tls` where the transport socket is TLS");
    }
    // Without ALPN all TLS would be taken for the mesh's, the application's own included.
    for (const std::string& alpn : match.application_protocols()) {
      if (alpn != net::kMeshAlpn && alpn != "h2") {
        return Refuse(
            absl::StrCat(match_path, ".application_protocols"),
            absl::StrCat("`", alpn.substr(0, 64), "` is not honoured; `", net::kMeshAlpn, "` is"));
      }
    }
    if (match.application_protocols().empty()) {
      return Refuse(absl::StrCat(match_path, ".application_protocols"),
                    absl::StrCat("must name `", net::kMeshAlpn, "`"));
    }
    group->mtls = true;
  } else {
    if (!match.application_protocols().empty()) {
      return Refuse(absl::StrCat(match_path, ".application_protocols"),
                    "is not honoured on a chain without TLS");
    }
    group->plaintext |= transport != "tls";
  }
  const std::string policy = PolicyOf(chain);
  if (group->policy.empty()) {
    group->policy = policy;
  }
  return absl::OkStatus();
}

absl::StatusOr<PortPolicy> PolicyOfGroup(const Group& group, const std::string& where) {
  if (!group.mtls && !group.plaintext) {
    return Refuse(where, "allows foreign TLS only; say mTLS, plaintext, or both");
  }
  PortPolicy policy;
  policy.mode = !group.mtls        ? MtlsMode::kDisable
                : !group.plaintext ? MtlsMode::kStrict
                                   : MtlsMode::kPermissive;
  policy.policy = group.policy;
  return policy;
}

}  // namespace

absl::StatusOr<InboundListener> TranslateInbound(const listener::Listener& in) {
  if (absl::Status status = CheckListener(in, xds::kInboundListener); !status.ok()) {
    return status;
  }
  InboundListener out;
  out.policy.fallback.policy = "no policy covers this port";
  std::map<std::optional<uint16_t>, Group> groups;
  const auto add = [&](const listener::FilterChain& chain,
                       const std::string& path) -> absl::Status {
    const absl::StatusOr<std::string> cluster = ClusterOf(chain, path);
    if (!cluster.ok()) {
      return cluster.status();
    }
    if (!out.cluster.empty() && out.cluster != *cluster) {
      return Refuse(path,
                    "leads to another cluster than the chain before: there is one "
                    "application");
    }
    out.cluster = *cluster;
    std::optional<uint16_t> port;
    if (chain.filter_chain_match().has_destination_port()) {
      const uint32_t value = chain.filter_chain_match().destination_port().value();
      if (value < 1 || value > 65535) {
        return Refuse(absl::StrCat(path, ".filter_chain_match.destination_port"),
                      "must be 1 to 65535");
      }
      port = static_cast<uint16_t>(value);
    }
    return AddChain(chain, path, &groups[port]);
  };
  for (int i = 0; i < in.filter_chains_size(); ++i) {
    if (absl::Status status =
            add(in.filter_chains(i), absl::StrCat("listener `inbound`.filter_chains[", i, "]"));
        !status.ok()) {
      return status;
    }
  }
  if (in.has_default_filter_chain()) {
    return Refuse("listener `inbound`.default_filter_chain", "is not honoured; use filter_chains");
  }
  if (groups.empty()) {
    return Refuse("listener `inbound`.filter_chains", "must not be empty");
  }
  for (const auto& [port, group] : groups) {
    const absl::StatusOr<PortPolicy> policy = PolicyOfGroup(
        group, absl::StrCat("listener `inbound`, ",
                            port.has_value() ? absl::StrCat("port ", *port) : "all other ports"));
    if (!policy.ok()) {
      return policy.status();
    }
    (port.has_value() ? out.policy.ports[*port] : out.policy.fallback) = *policy;
  }
  return out;
}

absl::StatusOr<OutboundListener> TranslateOutbound(const listener::Listener& in) {
  if (absl::Status status = CheckListener(in, xds::kOutboundListener); !status.ok()) {
    return status;
  }
  if (in.filter_chains_size() > 0) {
    return Refuse("listener `outbound`.filter_chains",
                  "are not honoured; use default_filter_chain");
  }
  if (!in.has_default_filter_chain()) {
    return Refuse("listener `outbound`.default_filter_chain", "is required");
  }
  const std::string path = "listener `outbound`.default_filter_chain";
  if (in.default_filter_chain().has_transport_socket()) {
    return Refuse(absl::StrCat(path, ".transport_socket"),
                  "is not honoured: applications speak to their own proxy in the clear");
  }
  const absl::StatusOr<std::string> cluster = ClusterOf(in.default_filter_chain(), path);
  if (!cluster.ok()) {
    return cluster.status();
  }
  return OutboundListener{PolicyOf(in.default_filter_chain()), *cluster};
}

absl::StatusOr<std::string> TranslateDestination(const listener::Listener& in,
                                                 const net::Address& address) {
  const std::string name = absl::StrCat(xds::kDestinationPrefix, address.ToString());
  const std::string path = absl::StrCat("listener `", name, "`");
  if (absl::Status status = CheckListener(in, name.c_str()); !status.ok()) {
    return status;
  }
  const auto& socket = in.address().socket_address();
  const absl::StatusOr<net::IpAddress> ip = net::IpAddress::Parse(socket.address());
  if (!ip.ok() || net::Address(*ip, 0).ip() != address.ip() ||
      socket.port_value() != address.port() ||
      socket.protocol() != envoy::config::core::v3::SocketAddress::TCP) {
    return Refuse(absl::StrCat(path, ".address"), "must be what the name says");
  }
  if (in.has_default_filter_chain() || in.filter_chains_size() != 1) {
    return Refuse(absl::StrCat(path, ".filter_chains"), "must be exactly one");
  }
  const listener::FilterChain& chain = in.filter_chains(0);
  if (chain.has_transport_socket() || chain.has_filter_chain_match()) {
    return Refuse(absl::StrCat(path, ".filter_chains[0]"),
                  "must have neither filter_chain_match nor transport_socket: all that the "
                  "application sends to this address goes one way");
  }
  return ClusterOf(chain, absl::StrCat(path, ".filter_chains[0]"));
}

}  // namespace countersign::config
