#include "proxy/config/listener_translation.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "api/net/alpn.h"
#include "api/xds/http_inspector.pb.h"
#include "api/xds/names.h"
#include "api/xds/original_dst.pb.h"
#include "api/xds/tcp_proxy.pb.h"
#include "api/xds/tls_inspector.pb.h"
#include "proxy/config/http_translation.h"
#include "proxy/config/protocol.h"
#include "proxy/config/route_translation.h"
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
    envoy::extensions::filters::listener::tls_inspector::v3::TlsInspector tls_inspector;
    envoy::extensions::filters::listener::http_inspector::v3::HttpInspector http_inspector;
    const absl::Status status =
        config.Is<decltype(tls_inspector)>()    ? UnpackStrict(config, path, &tls_inspector)
        : config.Is<decltype(http_inspector)>() ? UnpackStrict(config, path, &http_inspector)
                                                : UnpackStrict(config, path, &original_dst);
    if (!status.ok()) {
      return status;
    }
  }
  return absl::OkStatus();
}

// A chain's only filter: a TCP proxy, or a connection manager.
struct Handler {
  std::string cluster;                 // TCP
  std::optional<HttpManager> manager;  // HTTP
};

absl::StatusOr<Handler> HandlerOf(const listener::FilterChain& chain, const std::string& path) {
  if (chain.filters_size() != 1) {
    return Refuse(absl::StrCat(path, ".filters"),
                  "must be exactly one, a TCP proxy or an HTTP connection manager");
  }
  const google::protobuf::Any& config = chain.filters(0).typed_config();
  const std::string where = absl::StrCat(path, ".filters[0].typed_config");
  Handler handler;
  if (IsHttpManager(config)) {
    absl::StatusOr<HttpManager> manager = TranslateHttpManager(config, where);
    if (!manager.ok()) {
      return manager.status();
    }
    handler.manager = *std::move(manager);
    return handler;
  }
  envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy proxy;
  if (absl::Status status = UnpackStrict(config, where, &proxy); !status.ok()) {
    return status;
  }
  if (proxy.cluster().empty()) {
    return Refuse(absl::StrCat(where, ".cluster"), "is required");
  }
  handler.cluster = proxy.cluster();
  return handler;
}

// Of `inbound`: the one cluster to which a connection manager sends everything.
absl::StatusOr<std::string> ApplicationOf(const HttpManager& manager, const std::string& path) {
  const auto* routes = manager.routes.get();
  if (routes != nullptr && routes->virtual_hosts.size() == 1 &&
      routes->virtual_hosts[0].domains == std::vector<std::string>{"*"} &&
      routes->virtual_hosts[0].routes.size() == 1) {
    const Route& route = routes->virtual_hosts[0].routes[0];
    const RouteMatch& match = route.match;
    if (route.action == Route::Action::kForward && route.forward.clusters.size() == 1 &&
        match.path.kind == PathMatch::Kind::kPrefix && match.path.text == "/" &&
        match.method.empty() && match.headers.empty() && match.query.empty() && !match.grpc) {
      return route.forward.clusters[0].cluster;
    }
  }
  return Refuse(absl::StrCat(path, ".filters[0].typed_config.route_config"),
                "must be inline, one virtual host `*` with one route of prefix `/` to the "
                "application: what comes in is not routed");
}

bool IsInspectedHttp(const listener::FilterChainMatch& match) {
  return !match.application_protocols().empty() &&
         std::all_of(match.application_protocols().begin(), match.application_protocols().end(),
                     [](const std::string& name) {
                       return std::find(std::begin(xds::kInspectedHttp),
                                        std::end(xds::kInspectedHttp),
                                        name) != std::end(xds::kInspectedHttp);
                     });
}

// What the chains of one port allow.
struct Group {
  bool mtls = false;
  bool plaintext = false;
  // What is done with the application's bytes: from mTLS and plaintext chains.
  bool tcp = false;
  bool http = false;
  bool http2_only = false;
  std::string policy;
  std::string protocol;
  std::string service;
  std::string service_namespace;
};

absl::Status CheckMatch(const listener::FilterChainMatch& match, bool mtls, bool http,
                        const std::string& path) {
  const std::string& transport = match.transport_protocol();
  if (!transport.empty() && transport != "tls" && transport != "raw_buffer") {
    return Refuse(absl::StrCat(path, ".transport_protocol"),
                  "must be `tls`, `raw_buffer` or unset");
  }
  const std::string where = absl::StrCat(path, ".application_protocols");
  if (!mtls) {
    if (!match.application_protocols().empty() &&
        !(http && transport != "tls" && IsInspectedHttp(match))) {
      return Refuse(where,
                    "is not honoured on a chain without TLS, but for http/1.0, http/1.1 and h2c "
                    "before a connection manager");
    }
    return absl::OkStatus();
  }
  if (transport != "tls") {
    return Refuse(absl::StrCat(path, ".transport_protocol"),
                  "must be `tls` where the transport socket is TLS");
  }
  // Without ALPN all TLS would be taken for the mesh's, the application's own included.
  for (const std::string& alpn : match.application_protocols()) {
    const bool ours =
        http ? alpn == net::kMeshHttpAlpn : alpn == net::kMeshAlpn || alpn == net::kTunnelAlpn;
    if (!ours) {
      return Refuse(where, absl::StrCat("`", alpn.substr(0, 64), "` is not honoured before a ",
                                        http ? "connection manager" : "TCP proxy", "; `",
                                        http ? net::kMeshHttpAlpn : net::kMeshAlpn, "` is"));
    }
  }
  if (match.application_protocols().empty()) {
    return Refuse(where,
                  absl::StrCat("must name `", http ? net::kMeshHttpAlpn : net::kMeshAlpn, "`"));
  }
  return absl::OkStatus();
}

absl::Status AddChain(const listener::FilterChain& chain, const Handler& handler,
                      const std::string& path, Group* group) {
  const listener::FilterChainMatch& match = chain.filter_chain_match();
  const absl::StatusOr<bool> mtls =
      IsDownstreamMtls(chain.transport_socket(), absl::StrCat(path, ".transport_socket"));
  if (!mtls.ok()) {
    return mtls.status();
  }
  const bool http = handler.manager.has_value();
  if (absl::Status status =
          CheckMatch(match, *mtls, http, absl::StrCat(path, ".filter_chain_match"));
      !status.ok()) {
    return status;
  }
  group->mtls |= *mtls;
  if (!*mtls) {
    // TLS that is not ours goes through as it is.
    group->plaintext |= match.transport_protocol() != "tls";
    if (http && match.transport_protocol() == "tls") {
      return Refuse(absl::StrCat(path, ".filters[0]"), "cannot read foreign TLS");
    }
  }
  // Mesh TLS is offered for bytes and for HTTP whatever the port speaks, so where there is
  // plaintext, that is what tells.
  if (match.transport_protocol() != "tls" || *mtls) {
    group->tcp |= !http;
    group->http |= http;
    group->http2_only |= http && handler.manager->http2_only && !*mtls;
  }
  const auto take = [&](const char* key, std::string* to) {
    if (to->empty()) {
      *to = Text(chain.metadata(), key);
    }
  };
  take(xds::kProtocolKey, &group->protocol);
  take(xds::kServiceKey, &group->service);
  take(xds::kNamespaceKey, &group->service_namespace);
  if (group->policy.empty()) {
    group->policy = PolicyOf(chain);
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
  policy.service = group.service;
  policy.service_namespace = group.service_namespace;
  if (!group.protocol.empty()) {
    const std::optional<AppProtocol> protocol = ProtocolOfName(group.protocol);
    if (!protocol.has_value()) {
      return Refuse(absl::StrCat(where, ": metadata.", xds::kMetadata, ".", xds::kProtocolKey),
                    "must be `auto`, `tcp`, `http` or `http2`");
    }
    policy.protocol = *protocol;
  } else {
    policy.protocol = group.tcp && group.http ? AppProtocol::kAuto
                      : group.tcp             ? AppProtocol::kTcp
                      : group.http2_only      ? AppProtocol::kHttp2
                                              : AppProtocol::kHttp1;
  }
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
  std::optional<HttpOptions> http;
  const auto add = [&](const listener::FilterChain& chain,
                       const std::string& path) -> absl::Status {
    const absl::StatusOr<Handler> handler = HandlerOf(chain, path);
    if (!handler.ok()) {
      return handler.status();
    }
    std::string cluster = handler->cluster;
    if (handler->manager.has_value()) {
      absl::StatusOr<std::string> application = ApplicationOf(*handler->manager, path);
      if (!application.ok()) {
        return application.status();
      }
      cluster = *std::move(application);
      if (http.has_value() && *http != handler->manager->options) {
        return Refuse(path,
                      "says something else of HTTP than the chain before: this proxy has one set "
                      "of options");
      }
      http = handler->manager->options;
    }
    if (!out.cluster.empty() && out.cluster != cluster) {
      return Refuse(path,
                    "leads to another cluster than the chain before: there is one "
                    "application");
    }
    out.cluster = cluster;
    std::optional<uint16_t> port;
    if (chain.filter_chain_match().has_destination_port()) {
      const uint32_t value = chain.filter_chain_match().destination_port().value();
      if (value < 1 || value > 65535) {
        return Refuse(absl::StrCat(path, ".filter_chain_match.destination_port"),
                      "must be 1 to 65535");
      }
      port = static_cast<uint16_t>(value);
    }
    return AddChain(chain, *handler, path, &groups[port]);
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
  out.http = http.value_or(HttpOptions());
  if (const std::string client_cert = Text(in.metadata(), xds::kClientCertKey);
      client_cert == "rfc9440") {
    out.http.forward_client_cert = HttpOptions::ForwardClientCert::kRfc9440;
  } else if (!client_cert.empty()) {
    return Refuse(
        absl::StrCat("listener `inbound`.metadata.", xds::kMetadata, ".", xds::kClientCertKey),
        "must be `rfc9440` or unset");
  }
  const std::vector<std::string> locality =
      absl::StrSplit(Text(in.metadata(), xds::kLocalityKey), '/');
  out.locality.region = locality[0];
  out.locality.zone = locality.size() > 1 ? locality[1] : "";
  out.locality.sub_zone = locality.size() > 2 ? locality[2] : "";
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
  const absl::StatusOr<Handler> handler = HandlerOf(in.default_filter_chain(), path);
  if (!handler.ok()) {
    return handler.status();
  }
  if (handler->manager.has_value()) {
    return Refuse(absl::StrCat(path, ".filters[0]"),
                  "must be a TCP proxy: what the mesh does not know is not read");
  }
  return OutboundListener{PolicyOf(in.default_filter_chain()), handler->cluster};
}

absl::StatusOr<DestinationListener> TranslateDestination(const listener::Listener& in,
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
  if (in.has_default_filter_chain() || in.filter_chains_size() < 1 || in.filter_chains_size() > 2) {
    return Refuse(absl::StrCat(path, ".filter_chains"),
                  "must be one for TCP, one for HTTP, or one of each");
  }
  DestinationListener out;
  std::string said;
  for (int i = 0; i < in.filter_chains_size(); ++i) {
    const listener::FilterChain& chain = in.filter_chains(i);
    const std::string where = absl::StrCat(path, ".filter_chains[", i, "]");
    absl::StatusOr<Handler> handler = HandlerOf(chain, where);
    if (!handler.ok()) {
      return handler.status();
    }
    if (said.empty()) {
      said = Text(chain.metadata(), xds::kClusterKey);
    }
    const bool http = handler->manager.has_value();
    const bool detected = http && in.filter_chains_size() == 2;
    const listener::FilterChainMatch& match = chain.filter_chain_match();
    if (chain.has_transport_socket() || match.has_destination_port() ||
        !(match.transport_protocol().empty() || match.transport_protocol() == "raw_buffer") ||
        detected != IsInspectedHttp(match) ||
        (!detected && !match.application_protocols().empty())) {
      return Refuse(where,
                    "must have no transport_socket, and a filter_chain_match only to tell HTTP "
                    "(application_protocols http/1.0, http/1.1, h2c) from the rest where there "
                    "is a chain for both");
    }
    if (http ? out.http : out.tcp) {
      return Refuse(where, "is a second chain for the same");
    }
    if (http) {
      out.http = true;
      out.routes_name = std::move(handler->manager->routes_name);
      out.routes = std::move(handler->manager->routes);
      out.options = handler->manager->options;
    } else {
      out.tcp = true;
      out.cluster = std::move(handler->cluster);
    }
  }
  if (!out.tcp) {
    out.cluster = std::move(said);
    if (out.cluster.empty() && out.routes != nullptr) {
      const std::vector<std::string> clusters = ClustersOf(*out.routes);
      out.cluster = clusters.empty() ? "" : clusters.front();
    }
  }
  return out;
}

}  // namespace countersign::config
