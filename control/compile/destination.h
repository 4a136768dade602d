// What is at an address: Service addresses, and workloads' own on any port.
#ifndef COUNTERSIGN_CONTROL_COMPILE_DESTINATION_H_
#define COUNTERSIGN_CONTROL_COMPILE_DESTINATION_H_

#include <cstdint>
#include <optional>
#include <string>

#include "absl/strings/string_view.h"
#include "api/net/address.h"
#include "api/xds/cluster.pb.h"
#include "api/xds/endpoint.pb.h"
#include "api/xds/listener.pb.h"
#include "api/xds/route.pb.h"
#include "control/registry/model.h"

namespace countersign::control::compile {

inline constexpr char kServicePrefix[] = "service/";
inline constexpr char kWorkloadPrefix[] = "workload/";

// A place that traffic can go to, and its cluster's name:
//   service/NAMESPACE/NAME:PORT/v4   what a Service's IPv4 address has behind it (or /v6)
//   workload/NAMESPACE/NAME/IP:PORT  one workload's own address
struct Destination {
  const registry::Service* service = nullptr;  // one of the two
  const registry::Workload* workload = nullptr;
  uint16_t port = 0;
  bool v4 = true;          // a Service's: the family of the cluster IP
  net::IpAddress address;  // a workload's

  // Also the name of its routes.
  std::string ClusterName() const;
};

// What is spoken there.
registry::PortProtocol ProtocolAt(const registry::Model& model, const Destination& destination);

// What is at `address`, as far as the mesh knows. A port that a Service does not declare is still
// the Service's: it has no endpoints. Pure.
std::optional<Destination> DestinationAt(const registry::Model& model, const net::Address& address);
// The inverse of ClusterName, for names that the model knows.
std::optional<Destination> DestinationOfCluster(const registry::Model& model,
                                                absl::string_view cluster);

// A TCP proxy, a connection manager, or both behind the HTTP inspector, as the protocol says.
envoy::config::listener::v3::Listener DestinationListener(const registry::Model& model,
                                                          const net::Address& address,
                                                          const Destination& destination);
// Where HTTP goes that comes from proxies of `caller_ns`. Nothing where the protocol is TCP.
std::optional<envoy::config::route::v3::RouteConfiguration> DestinationRoutes(
    const registry::Model& model, const Destination& destination, const std::string& caller_ns);
envoy::config::cluster::v3::Cluster DestinationCluster(const registry::Model& model,
                                                       const Destination& destination);
// Endpoints of the destination's own family where there are any, else of the other. Where the
// endpoint's policy says DISABLE on the port, clients speak plaintext.
envoy::config::endpoint::v3::ClusterLoadAssignment DestinationEndpoints(
    const registry::Model& model, const Destination& destination);

}  // namespace countersign::control::compile

#endif  // COUNTERSIGN_CONTROL_COMPILE_DESTINATION_H_
