// The application protocols of the mesh: RFC 7301.
#ifndef COUNTERSIGN_PROXY_TLS_ALPN_H_
#define COUNTERSIGN_PROXY_TLS_ALPN_H_

#include "absl/strings/string_view.h"

namespace countersign::tls {

// A tunnel to a sidecar's own port.
inline constexpr absl::string_view kTunnelAlpn = "h2";
// Mesh TLS on the application's own port: what tells it from the application's own TLS.
inline constexpr absl::string_view kMeshAlpn = "countersign";

}  // namespace countersign::tls

#endif  // COUNTERSIGN_PROXY_TLS_ALPN_H_
