// Listeners into policies and references to clusters. Pure.
#ifndef COUNTERSIGN_PROXY_CONFIG_LISTENER_TRANSLATION_H_
#define COUNTERSIGN_PROXY_CONFIG_LISTENER_TRANSLATION_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "api/net/address.h"
#include "api/xds/listener.pb.h"
#include "proxy/config/http.h"
#include "proxy/config/inbound.h"
#include "proxy/config/route.h"

namespace countersign::config {

// What `inbound` says, read from its filter chains, not from their names: chains with mTLS alone
// are STRICT, without any DISABLE, with both PERMISSIVE. A listener that covers only some ports
// leaves the others STRICT. Each chain leads to `cluster`, by a TCP proxy or by a connection
// manager whose only route is everything; what the application speaks is said by the chains'
// metadata, or else by which of the two there are.
struct InboundListener {
  InboundPolicy policy;
  std::string cluster;
  HttpOptions http;  // of all connection managers; the defaults if there is none
  Locality locality;
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

// `outbound/IP:PORT`: one chain, for TCP or for HTTP; or two, of which one takes what the HTTP
// inspector has found to be HTTP, and the other the rest.
struct DestinationListener {
  bool tcp = false;
  bool http = false;
  // Of the TCP proxy, else of the chain's metadata, else of the first inline route; empty if
  // nothing of this says it.
  std::string cluster;
  // http: one of the two.
  std::string routes_name;
  std::shared_ptr<const RouteConfiguration> routes;
  HttpOptions options;  // of the connection manager
};
// `address` is what the name says.
absl::StatusOr<DestinationListener> TranslateDestination(
    const envoy::config::listener::v3::Listener& listener, const net::Address& address);

}  // namespace countersign::config

#endif  // COUNTERSIGN_PROXY_CONFIG_LISTENER_TRANSLATION_H_
