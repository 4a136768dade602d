// What routes do to header fields.
#ifndef COUNTERSIGN_PROXY_ROUTER_HEADER_CHANGES_H_
#define COUNTERSIGN_PROXY_ROUTER_HEADER_CHANGES_H_

#include "proxy/config/route.h"
#include "proxy/http/message.h"
#include "proxy/router/route_table.h"

namespace countersign::router {

// Removes, sets, adds. What it adds refers to `changes`, which must outlive the message.
void ApplyHeaderChanges(const config::HeaderChanges& changes, http::HeaderMap& headers);

// All levels in Envoy's order, the most specific first: weighted cluster, route, virtual host,
// table; so the most general has the last word. `cluster` may be null.
void ApplyRequestChanges(const RouteChoice& choice, const config::WeightedCluster* cluster,
                         http::RequestHead& head);
void ApplyResponseChanges(const RouteChoice& choice, const config::WeightedCluster* cluster,
                          http::ResponseHead& head);

}  // namespace countersign::router

#endif  // COUNTERSIGN_PROXY_ROUTER_HEADER_CHANGES_H_
