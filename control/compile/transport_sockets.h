// The TLS that mesh peers speak, in xDS terms.
#ifndef COUNTERSIGN_CONTROL_COMPILE_TRANSPORT_SOCKETS_H_
#define COUNTERSIGN_CONTROL_COMPILE_TRANSPORT_SOCKETS_H_

#include <set>
#include <string>

#include "api/xds/core.pb.h"

namespace countersign::control::compile {

// TLS 1.3, our SVID, a client certificate demanded and verified against the trust bundles; `alpn`
// as in api/net/alpn.h.
envoy::config::core::v3::TransportSocket DownstreamMtls(const char* alpn);
// TLS 1.3, our SVID, and one of `identities` demanded of the peer.
envoy::config::core::v3::TransportSocket UpstreamMtls(const std::set<std::string>& identities);
envoy::config::core::v3::TransportSocket Plaintext();

}  // namespace countersign::control::compile

#endif  // COUNTERSIGN_CONTROL_COMPILE_TRANSPORT_SOCKETS_H_
