// Listeners into policies and references to clusters. Pure.
#ifndef COUNTERSIGN_PROXY_CONFIG_LISTENER_TRANSLATION_H_
#define COUNTERSIGN_PROXY_CONFIG_LISTENER_TRANSLATION_H_

#include <string>

#include "absl/status/statusor.h"
#include "api/net/address.h"
#include "api/xds/listener.pb.h"
#include "proxy/config/inbound.h"

namespace countersign::config {

// What `inbound` says, read from its filter chains, not from their names: chains with mTLS alone
// are STRICT, without any DISABLE, with both PERMISSIVE. A listener that covers only some ports
// leaves the others STRICT. Each chain's TCP proxy must lead to `*cluster`, which is the same for
// all.
struct InboundListener {
  InboundPolicy policy;
  std::string cluster;
};
absl::StatusOr<InboundListener> TranslateInbound(
    const envoy::config::listener::v3::Listener& listener);

// `outbound`: the cluster of whatever no other listener covers.
struct OutboundListener {
  std::string policy;  // the resource that says so
  std::string cluster;
};
absl::StatusOr<OutboundListener> TranslateOutbound(
    const envoy::config::listener::v3::Listener& listener);

// `outbound/IP:PORT`: the name of its cluster. `address` is what the name says.
absl::StatusOr<std::string> TranslateDestination(
    const envoy::config::listener::v3::Listener& listener, const net::Address& address);

}  // namespace countersign::config

#endif  // COUNTERSIGN_PROXY_CONFIG_LISTENER_TRANSLATION_H_
