// The seam between the workers, which need configuration, and the xDS client, which fetches it.
#ifndef COUNTERSIGN_PROXY_CONFIG_DISCOVERY_H_
#define COUNTERSIGN_PROXY_CONFIG_DISCOVERY_H_

#include <memory>

#include "api/net/address.h"
#include "proxy/config/http.h"
#include "proxy/config/inbound.h"
#include "proxy/config/outbound.h"

namespace countersign::config {

// Both directions of the proxy's standing configuration; swapped whole.
struct ProxyConfig {
  InboundPolicy inbound;
  OutboundPolicy outbound;
  HttpOptions http;   // of `inbound`
  Locality locality;  // the proxy's own; empty where nobody says
};

// Implemented by the xDS client. Thread-safe: workers call it from their own threads.
class Discovery {
 public:
  virtual ~Discovery() = default;
  // Idempotent. The answer, and every later change of it, arrives at every worker's ConfigSink.
  virtual void Subscribe(const net::Address& original_destination) = 0;
  // Says that the destination was used within the last idle period; unused ones are dropped after
  // it.
  virtual void Touch(const net::Address& original_destination) = 0;
};

// Implemented by each worker; called on the main thread, takes effect on the worker's.
class ConfigSink {
 public:
  virtual ~ConfigSink() = default;
  virtual void OnProxyConfig(std::shared_ptr<const ProxyConfig> config) = 0;
  // A null destination means: the subscription was dropped for disuse; forget it.
  virtual void OnDestination(const net::Address& original_destination,
                             std::shared_ptr<const Destination> destination) = 0;
};

}  // namespace countersign::config

#endif  // COUNTERSIGN_PROXY_CONFIG_DISCOVERY_H_
