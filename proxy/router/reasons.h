// The tokens of `x-countersign-reason`, of the access log and of metrics for answers that the
// router gives itself: they are stable, people filter by them.
#ifndef COUNTERSIGN_PROXY_ROUTER_REASONS_H_
#define COUNTERSIGN_PROXY_ROUTER_REASONS_H_

#include <string>

#include "absl/strings/string_view.h"

namespace countersign::router {

// One row a reason: name, token, status, meaning. REASONS.md is made from this table.
#define COUNTERSIGN_ROUTER_REASONS(ROW)                                                           \
  ROW(kReasonNoRoute, "no_route", 404, "no virtual host or no route of it takes the request")     \
  ROW(kReasonNoCluster, "no_cluster", 503, "the route's cluster is not known to this proxy")      \
  ROW(kReasonNoHealthyEndpoint, "no_healthy_endpoint", 503,                                       \
      "the cluster has no endpoint, or none that may be used")                                    \
  ROW(kReasonUpstreamOverflow, "upstream_overflow", 503,                                          \
      "a circuit breaker of the cluster is open: connections, pending requests or requests")      \
  ROW(kReasonConnectFailure, "connect_failure", 503,                                              \
      "no connection to the endpoint: TCP, the tunnel or TLS failed; nothing was sent")           \
  ROW(kReasonNoIdentity, "no_identity", 503,                                                      \
      "the proxy has no certificate yet and the endpoint wants mutual TLS")                       \
  ROW(kReasonStreamRefused, "stream_refused", 503,                                                \
      "the endpoint says that it has not begun with the request")                                 \
  ROW(kReasonUpstreamReset, "upstream_reset", 503, "the endpoint reset the stream")               \
  ROW(kReasonConnectionLost, "upstream_connection_lost", 503,                                     \
      "the connection to the endpoint ended before the response was complete")                    \
  ROW(kReasonUpstreamProtocol, "upstream_protocol_error", 502,                                    \
      "the endpoint's answer breaks HTTP's rules")                                                \
  ROW(kReasonUpstreamLimit, "upstream_response_too_large", 502,                                   \
      "the response's head is larger than the proxy takes")                                       \
  ROW(kReasonTimeout, "route_timeout", 504, "the route's time-out for the whole request ended")   \
  ROW(kReasonPerTryTimeout, "per_try_timeout", 504, "the route's time-out for one try ended")     \
  ROW(kReasonPerTryIdle, "per_try_idle_timeout", 504,                                             \
      "in one try nothing moved for as long as the route allows")                                 \
  ROW(kReasonGrpcDeadline, "grpc_deadline", 504, "the client's own grpc-timeout ended")           \
  ROW(kReasonIdle, "stream_idle_timeout", 504,                                                    \
      "nothing moved in either direction; 408 while the request was still incomplete")            \
  ROW(kReasonRedirect, "redirect", 301, "the route redirects; the status is the route's")         \
  ROW(kReasonDirectResponse, "direct_response", 500,                                              \
      "the route answers itself, or has no backend that it may use; the status is the route's")   \
  ROW(kReasonFault, "fault_injected", 503, "a fault policy answered; the status is the policy's") \
  ROW(kReasonUpgradeForbidden, "upgrade_forbidden", 403, "the route does not allow upgrades")     \
  ROW(kReasonRewriteLimit, "path_rewrite_limit", 400,                                             \
      "rewriting the path would take more steps, or make it longer, than the limits allow")       \
  ROW(kReasonBufferLimit, "request_buffer_limit", 413,                                            \
      "more of the body came than one stream may hold back while the endpoint does not take it")

#define COUNTERSIGN_ROW(name, token, status, meaning) \
  inline constexpr absl::string_view name = token;
COUNTERSIGN_ROUTER_REASONS(COUNTERSIGN_ROW)
#undef COUNTERSIGN_ROW

// REASONS.md: the reasons above, and the response flags.
std::string RenderReasons();

}  // namespace countersign::router

#endif  // COUNTERSIGN_PROXY_ROUTER_REASONS_H_
