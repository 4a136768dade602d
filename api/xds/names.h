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
// What Envoy chooses a cluster's transport_socket_matches by.
inline constexpr char kSocketMatchMetadata[] = "envoy.transport_socket_match";
inline constexpr char kSocketMatchKey[] = "mtls";

// Filters and sockets.
inline constexpr char kTcpProxyFilter[] = "envoy.filters.network.tcp_proxy";
inline constexpr char kOriginalDstFilter[] = "envoy.filters.listener.original_dst";
inline constexpr char kTlsInspectorFilter[] = "envoy.filters.listener.tls_inspector";
inline constexpr char kTlsSocket[] = "envoy.transport_sockets.tls";
inline constexpr char kRawBufferSocket[] = "envoy.transport_sockets.raw_buffer";

// In Node.client_features: the client takes what a resource refers to (a listener's clusters, a
// cluster's endpoints) as subscribed to with it, so that a first connection costs one round trip.
// It unsubscribes from them by name as from any other.
inline constexpr char kFollowReferences[] = "countersign.follow_references";

}  // namespace countersign::xds

#endif  // COUNTERSIGN_API_XDS_NAMES_H_
