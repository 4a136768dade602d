// How the pages call what configuration distinguishes.
#ifndef COUNTERSIGN_PROXY_ADMIN_CONFIG_NAMES_H_
#define COUNTERSIGN_PROXY_ADMIN_CONFIG_NAMES_H_

#include "proxy/config/cluster.h"
#include "proxy/config/inbound.h"

namespace countersign::admin {

const char* TransportName(config::EndpointTransport transport);  // plaintext, tls, hbone
const char* AppProtocolName(config::AppProtocol protocol);       // auto, tcp, http1, http2
const char* LbPolicyName(config::LbPolicy policy);               // Envoy's, such as ROUND_ROBIN
const char* MtlsModeName(config::MtlsMode mode);                 // STRICT, PERMISSIVE, DISABLE

}  // namespace countersign::admin

#endif  // COUNTERSIGN_PROXY_ADMIN_CONFIG_NAMES_H_
