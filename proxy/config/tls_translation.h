// Transport sockets: whether they are the mesh's mTLS or plaintext, and nothing in between.
#ifndef COUNTERSIGN_PROXY_CONFIG_TLS_TRANSLATION_H_
#define COUNTERSIGN_PROXY_CONFIG_TLS_TRANSLATION_H_

#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "api/spiffe/spiffe_id.h"
#include "api/xds/core.pb.h"

namespace countersign::config {

// True for mTLS with our own SVID that demands a client certificate, false for plaintext. Anything
// weaker or other than what the proxy does is refused.
absl::StatusOr<bool> IsDownstreamMtls(const envoy::config::core::v3::TransportSocket& socket,
                                      const std::string& path);

struct UpstreamSocket {
  bool mtls = false;
  std::vector<spiffe::SpiffeId> identities;  // mTLS: the peer must be one of these; empty: unsaid
};
absl::StatusOr<UpstreamSocket> TranslateUpstreamSocket(
    const envoy::config::core::v3::TransportSocket& socket, const std::string& path);

}  // namespace countersign::config

#endif  // COUNTERSIGN_PROXY_CONFIG_TLS_TRANSLATION_H_
