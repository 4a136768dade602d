#include "proxy/upstream/host.h"

#include "absl/strings/str_cat.h"

namespace countersign::upstream {

std::string Whereabouts(const config::Endpoint& endpoint, bool http) {
  const std::string at = endpoint.workload.empty()
                             ? endpoint.address.ToString()
                             : absl::StrCat(endpoint.workload_namespace, "/", endpoint.workload,
                                            " at ", endpoint.address.ToString());
  switch (endpoint.transport) {
    case config::EndpointTransport::kPlaintext:
      return at;
    case config::EndpointTransport::kHbone:
      if (!http || !endpoint.mesh_http) {
        return absl::StrCat(at, " through its sidecar at ", endpoint.tunnel.ToString(), " (",
                            endpoint.identity.ToString(), ")");
      }
      [[fallthrough]];
    case config::EndpointTransport::kTls:
      return absl::StrCat(at, " by mesh TLS (", endpoint.identity.ToString(), ")");
  }
  return at;
}

}  // namespace countersign::upstream
