// What the proxy knows of the places that its application talks to. Pure, immutable data: built on
// the main thread from xDS resources, read by workers.
#ifndef COUNTERSIGN_PROXY_CONFIG_OUTBOUND_H_
#define COUNTERSIGN_PROXY_CONFIG_OUTBOUND_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "api/net/address.h"
#include "api/spiffe/spiffe_id.h"

namespace countersign::config {

enum class EndpointTransport : uint8_t {
  kPlaintext,  // no sidecar there, or its policy says DISABLE
  kTls,        // mesh mTLS on the application's own port (mesh ALPN)
  kHbone,      // HTTP/2 CONNECT over mTLS to `tunnel`
};

struct Endpoint {
  net::Address address;  // where the application listens
  EndpointTransport transport = EndpointTransport::kPlaintext;
  net::Address tunnel;        // kHbone only
  spiffe::SpiffeId identity;  // kTls and kHbone: the one ID that may answer, compared exactly
  std::string workload;       // names for metrics and logs; may be empty
  std::string workload_namespace;
  uint32_t weight = 1;
};

struct Cluster {
  std::string name;
  std::string service;  // Service name and namespace for metrics; empty for pod-IP traffic
  std::string service_namespace;
  std::chrono::milliseconds connect_timeout{5000};
  std::vector<Endpoint> endpoints;
};

// The answer to "what is at this original destination?".
struct Destination {
  enum class Kind : uint8_t {
    kCluster,  // in the mesh's registry: go to `cluster`
    kUnknown,  // the control plane knows nothing of it: OutboundPolicy decides
  };
  Kind kind = Kind::kUnknown;
  std::shared_ptr<const Cluster>
      cluster;  // kCluster only; an empty endpoint list means: refuse, none is ready
};

// What happens to destinations that the mesh does not know. The name is that of the resource that
// says so.
struct OutboundPolicy {
  enum class Mode : uint8_t { kAllowAny, kRegistryOnly };
  Mode mode = Mode::kRegistryOnly;  // fail closed until told otherwise
  std::string name;
};

}  // namespace countersign::config

#endif  // COUNTERSIGN_PROXY_CONFIG_OUTBOUND_H_
