// What a TrafficPolicy means for a cluster.
#ifndef COUNTERSIGN_CONTROL_COMPILE_CLUSTER_POLICY_H_
#define COUNTERSIGN_CONTROL_COMPILE_CLUSTER_POLICY_H_

#include "api/mesh/v1alpha1/traffic_policy.pb.h"
#include "api/xds/cluster.pb.h"
#include "api/xds/http_protocol_options.pb.h"
#include "control/registry/model.h"

namespace countersign::control::compile {

// Balancing, health checks, outlier detection, limits and time-outs, over the defaults in
// `cluster`.
void ApplyPolicy(const mesh::v1alpha1::TrafficPolicySpec& policy,
                 envoy::config::cluster::v3::Cluster* cluster);

// What is said of HTTP connections.
void ApplyPolicy(const mesh::v1alpha1::TrafficPolicySpec& policy,
                 envoy::extensions::upstreams::http::v3::HttpProtocolOptions* options);

// Where `locality` stands in the policy's order of preference; 0 where there is none.
uint32_t PriorityOf(const mesh::v1alpha1::TrafficPolicySpec* policy,
                    const registry::Locality& locality);

}  // namespace countersign::control::compile

#endif  // COUNTERSIGN_CONTROL_COMPILE_CLUSTER_POLICY_H_
