// Who may speak to the proxy's own application, and how. Pure, immutable data.
#ifndef COUNTERSIGN_PROXY_CONFIG_INBOUND_H_
#define COUNTERSIGN_PROXY_CONFIG_INBOUND_H_

#include <cstdint>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "proxy/config/cluster.h"

namespace countersign::config {

enum class MtlsMode : uint8_t { kDisable, kPermissive, kStrict };

struct PortPolicy {
  MtlsMode mode = MtlsMode::kStrict;  // fail closed
  std::string policy;  // `namespace/name` of the PeerAuthentication or Mesh that decided
  AppProtocol protocol = AppProtocol::kAuto;  // that the application speaks there
  std::string service;  // that has this port, for metrics; empty if none or several
  std::string service_namespace;
};

struct InboundPolicy {
  PortPolicy fallback;
  absl::flat_hash_map<uint16_t, PortPolicy> ports;

  const PortPolicy& For(uint16_t port) const {
    auto it = ports.find(port);
    return it == ports.end() ? fallback : it->second;
  }
};

}  // namespace countersign::config

#endif  // COUNTERSIGN_PROXY_CONFIG_INBOUND_H_
