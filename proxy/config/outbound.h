// What the proxy knows of the places that its application talks to. Pure, immutable data: built on
// the main thread from xDS resources, read by workers.
#ifndef COUNTERSIGN_PROXY_CONFIG_OUTBOUND_H_
#define COUNTERSIGN_PROXY_CONFIG_OUTBOUND_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "proxy/config/cluster.h"
#include "proxy/config/http.h"
#include "proxy/config/route.h"

namespace countersign::config {

// The answer to "what is at this original destination?".
struct Destination {
  enum class Kind : uint8_t {
    kCluster,  // in the mesh's registry: go to `cluster`
    kUnknown,  // the control plane knows nothing of it: OutboundPolicy decides
  };
  Kind kind = Kind::kUnknown;
  // kCluster only: where TCP goes; an empty endpoint list means: refuse, none is ready. Its
  // `protocol` says what is spoken here.
  std::shared_ptr<const Cluster> cluster;
  // kCluster only: where HTTP goes. Null where the protocol is kTcp.
  std::shared_ptr<const RouteConfiguration> routes;
  // All that `routes` names, by name and sorted by it, `cluster` included. One that the control
  // plane does not know is missing.
  std::vector<std::shared_ptr<const Cluster>> route_clusters;
  // kCluster only: how HTTP is served to the application on its way there.
  HttpOptions http;
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
