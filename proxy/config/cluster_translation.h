// Clusters and endpoints. Pure.
#ifndef COUNTERSIGN_PROXY_CONFIG_CLUSTER_TRANSLATION_H_
#define COUNTERSIGN_PROXY_CONFIG_CLUSTER_TRANSLATION_H_

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "api/xds/cluster.pb.h"
#include "api/xds/endpoint.pb.h"
#include "proxy/config/outbound.h"
#include "proxy/config/tls_translation.h"

namespace countersign::config {

// An endpoint as EDS tells it.
struct EndpointResource {
  Endpoint endpoint;
  // Whether the metadata said how to reach it; if not, the cluster's socket matches decide.
  bool has_transport = false;
  std::map<std::string, std::string> socket_match;
};

// A cluster's endpoints as EDS tells them.
struct EndpointsResource {
  std::vector<EndpointResource> endpoints;
  std::optional<uint32_t> overprovisioning_percent;
};

// A cluster as CDS tells it.
struct ClusterResource {
  enum class Kind : uint8_t { kEds, kStatic, kOriginalDst };
  struct SocketMatch {
    std::map<std::string, std::string> match;
    UpstreamSocket socket;
  };

  Cluster cluster;             // its endpoints are not filled in yet
  bool protocol_said = false;  // else the listener that leads here says it
  Kind kind = Kind::kEds;
  std::string endpoints_name;          // kEds
  EndpointsResource static_endpoints;  // kStatic
  std::vector<SocketMatch> socket_matches;
};

absl::StatusOr<ClusterResource> TranslateCluster(const envoy::config::cluster::v3::Cluster& in);

// Endpoints that are UNHEALTHY, DRAINING or TIMEOUT are left out.
absl::StatusOr<EndpointsResource> TranslateEndpoints(
    const envoy::config::endpoint::v3::ClusterLoadAssignment& in);

// Both together. An endpoint that must be reached by mTLS and whose identity nobody names is left
// out: it could not be verified.
std::shared_ptr<const Cluster> AssembleCluster(const ClusterResource& cluster,
                                               const EndpointsResource& endpoints);

}  // namespace countersign::config

#endif  // COUNTERSIGN_PROXY_CONFIG_CLUSTER_TRANSLATION_H_
