// The two listeners that every proxy has: what its application is offered, and what it offers.
#ifndef COUNTERSIGN_CONTROL_COMPILE_STANDING_LISTENERS_H_
#define COUNTERSIGN_CONTROL_COMPILE_STANDING_LISTENERS_H_

#include <string>

#include "api/xds/cluster.pb.h"
#include "api/xds/listener.pb.h"
#include "control/registry/model.h"

namespace countersign::control::compile {

// `inbound`: for each port that a policy names, and for all others, the filter chains that its mode
// allows. STRICT has mTLS alone, DISABLE plaintext alone, PERMISSIVE both, and foreign TLS
// untouched. Each chain carries the policy that decided.
envoy::config::listener::v3::Listener InboundListener(const registry::Model& model,
                                                      const registry::Workload& workload);

// `outbound`: where connections go that no `outbound/IP:PORT` covers.
envoy::config::listener::v3::Listener OutboundListener(const registry::Model& model);

// A chain of one TCP proxy to `cluster`.
void FillTcpProxyChain(const std::string& name, const std::string& cluster,
                       envoy::config::listener::v3::FilterChain* chain);

// PassthroughCluster, BlackHoleCluster, InboundPassthroughCluster. False for any other name.
bool StandingCluster(const std::string& name, envoy::config::cluster::v3::Cluster* cluster);

}  // namespace countersign::control::compile

#endif  // COUNTERSIGN_CONTROL_COMPILE_STANDING_LISTENERS_H_
