// The application protocols of the mesh: RFC 7301. Both ends must agree on them, and configuration
// names them.
#ifndef COUNTERSIGN_API_NET_ALPN_H_
#define COUNTERSIGN_API_NET_ALPN_H_

namespace countersign::net {

// A tunnel to a sidecar's own port.
inline constexpr char kTunnelAlpn[] = "h2";
// Mesh TLS on the application's own port, which tells it from the application's own TLS: its bytes
// as they are,
inline constexpr char kMeshAlpn[] = "countersign";
// or its HTTP requests as HTTP/2, many on one connection.
inline constexpr char kMeshHttpAlpn[] = "countersign-h2";

}  // namespace countersign::net

#endif  // COUNTERSIGN_API_NET_ALPN_H_
