// What a cluster says of balancing, of endpoints that fail, and of limits. Pure.
#ifndef COUNTERSIGN_PROXY_CONFIG_CLUSTER_POLICY_TRANSLATION_H_
#define COUNTERSIGN_PROXY_CONFIG_CLUSTER_POLICY_TRANSLATION_H_

#include <string>

#include "api/xds/cluster.pb.h"
#include "proxy/config/cluster.h"
#include "proxy/config/field_check.h"

namespace countersign::config {

void TranslateBalancing(const envoy::config::cluster::v3::Cluster& in, const std::string& path,
                        FieldCheck* check, Cluster* out);
void TranslateHealthChecks(const envoy::config::cluster::v3::Cluster& in, const std::string& path,
                           FieldCheck* check, Cluster* out);
void TranslateOutlierDetection(const envoy::config::cluster::v3::OutlierDetection& in,
                               const std::string& path, FieldCheck* check, OutlierDetection* out);
void TranslateCircuitBreakers(const envoy::config::cluster::v3::CircuitBreakers& in,
                              const std::string& path, FieldCheck* check, CircuitBreakers* out);
// typed_extension_protocol_options and preconnect_policy. `*said` becomes true where they say what
// the endpoints speak.
void TranslatePool(const envoy::config::cluster::v3::Cluster& in, const std::string& path,
                   FieldCheck* check, Cluster* out, bool* said);

}  // namespace countersign::config

#endif  // COUNTERSIGN_PROXY_CONFIG_CLUSTER_POLICY_TRANSLATION_H_
