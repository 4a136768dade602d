// Names that both ends of the configuration stream must agree on.
#ifndef COUNTERSIGN_API_XDS_NAMES_H_
#define COUNTERSIGN_API_XDS_NAMES_H_

namespace countersign::xds {

// Type URLs of the resources.
inline constexpr char kListenerUrl[] = "type.googleapis.com/envoy.config.listener.v3.Listener";
inline constexpr char kClusterUrl[] = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
inline constexpr char kRoutesUrl[] = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration";
inline constexpr char kEndpointsUrl[] =
    "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment";

// The gRPC method of the stream.
inline constexpr char kDeltaAdsMethod[] =
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources";

// Listeners. `outbound/10.96.0.10:80` answers what is at that original destination.
inline constexpr char kInboundListener[] = "inbound";
inline constexpr char kOutboundListener[] = "outbound";
inline constexpr char kDestinationPrefix[] = "outbound/";

// Clusters, by Istio's names: to the original destination, nowhere, and to the own application.
inline constexpr char kPassthroughCluster[] = "PassthroughCluster";
inline constexpr char kBlackHoleCluster[] = "BlackHoleCluster";
inline constexpr char kInboundCluster[] = "InboundPassthroughCluster";

// Secrets, by Istio's names: the workload's own SVID, and what it verifies peers with.
inline constexpr char kSvidSecret[] = "default";
inline constexpr char kTrustSecret[] = "ROOTCA";

// The namespace of our metadata, and its keys.
inline constexpr char kMetadata[] = "countersign";
inline constexpr char kTransportKey[] = "transport";     // `hbone`, `tls`, `none`
inline constexpr char kTunnelPortKey[] = "tunnel_port";  // a number
inline constexpr char kMeshHttpKey[] =
    "mesh_http";  // true: takes kMeshHttpAlpn on the application's own ports
inline constexpr char kProtocolKey[] = "protocol";  // `auto`, `tcp`, `http`, `http2`
inline constexpr char kIdentityKey[] = "identity";
inline constexpr char kWorkloadKey[] = "workload";
inline constexpr char kNamespaceKey[] = "namespace";
inline constexpr char kServiceKey[] = "service";
inline constexpr char kPolicyKey[] = "policy";  // `namespace/name`
inline constexpr char kModeKey[] = "mode";      // `STRICT`
// Of `inbound`: the proxy's own locality, `region/zone/sub_zone`.
inline constexpr char kLocalityKey[] = "locality";
// Of `inbound`: `rfc9440` where the application is told of its caller in Client-Cert and
// Client-Cert-Chain.
inline constexpr char kClientCertKey[] = "client_cert";
// Of a destination's chain: the cluster that its routes are meant for.
inline constexpr char kClusterKey[] = "cluster";
// What Envoy chooses a cluster's transport_socket_matches by.
inline constexpr char kSocketMatchMetadata[] = "envoy.transport_socket_match";
inline constexpr char kSocketMatchKey[] = "mtls";

// Filters and sockets.
inline constexpr char kTcpProxyFilter[] = "envoy.filters.network.tcp_proxy";
inline constexpr char kHttpFilter[] = "envoy.filters.network.http_connection_manager";
inline constexpr char kRouterFilter[] = "envoy.filters.http.router";
inline constexpr char kFaultFilter[] = "envoy.filters.http.fault";
inline constexpr char kHttpInspectorFilter[] = "envoy.filters.listener.http_inspector";
// Key of Cluster.typed_extension_protocol_options.
inline constexpr char kHttpProtocolOptions[] =
    "envoy.extensions.upstreams.http.v3.HttpProtocolOptions";
inline constexpr char kPeakEwmaPolicy[] = "envoy.load_balancing_policies.peak_ewma";
inline constexpr char kLeastRequestPolicy[] = "envoy.load_balancing_policies.least_request";
inline constexpr char kPreviousHosts[] = "envoy.retry_host_predicates.previous_hosts";
inline constexpr char kOriginalDstFilter[] = "envoy.filters.listener.original_dst";
inline constexpr char kTlsInspectorFilter[] = "envoy.filters.listener.tls_inspector";
inline constexpr char kTlsSocket[] = "envoy.transport_sockets.tls";
inline constexpr char kRawBufferSocket[] = "envoy.transport_sockets.raw_buffer";

// What the HTTP inspector finds, for FilterChainMatch.application_protocols.
inline constexpr const char* kInspectedHttp[] = {"http/1.0", "http/1.1", "h2c"};
// Values of kProtocolKey.
inline constexpr char kProtocolAuto[] = "auto";
inline constexpr char kProtocolTcp[] = "tcp";
inline constexpr char kProtocolHttp1[] = "http";
inline constexpr char kProtocolHttp2[] = "http2";

// In Node.client_features: the client takes what a resource refers to (a listener's clusters, a
// cluster's endpoints) as subscribed to with it, so that a first connection costs one round trip.
// It unsubscribes from them by name as from any other.
inline constexpr char kFollowReferences[] = "countersign.follow_references";

}  // namespace countersign::xds

#endif  // COUNTERSIGN_API_XDS_NAMES_H_
