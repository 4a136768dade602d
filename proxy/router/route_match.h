// Whether a request is what a route asks for.
#ifndef COUNTERSIGN_PROXY_ROUTER_ROUTE_MATCH_H_
#define COUNTERSIGN_PROXY_ROUTER_ROUTE_MATCH_H_

#include "absl/strings/string_view.h"
#include "proxy/config/route.h"
#include "proxy/http/message.h"

namespace countersign::router {

// A request's target in its two parts (RFC 3986, section 3). Views into the head.
struct Target {
  explicit Target(absl::string_view path_and_query);
  absl::string_view path;
  absl::string_view query;  // without the question mark
};

bool MatchString(const config::StringMatch& match, absl::string_view text);

// A request that has no path (CONNECT, `OPTIONS *`) takes only routes that take every path.
bool MatchPath(const config::PathMatch& match, absl::string_view path);

// As Envoy does: fields of one name are judged as one value, joined by commas (RFC 9110, section
// 5.3; cookies by `; `); a field that is absent matches nothing, inverted or not, except that it is
// not present. Linear in the fields; allocates only the first times that a name is repeated.
bool MatchHeader(const config::HeaderMatch& match, const http::RequestHead& head);

// The first parameter of the name is judged, as it stands (not decoded). A parameter without `=`
// has the empty value.
bool MatchQuery(const config::QueryMatch& match, absl::string_view query);
// Null data when there is none of that name.
absl::string_view FindQueryParameter(absl::string_view query, absl::string_view name);

// All conditions of a route but the path.
bool MatchAllButPath(const config::RouteMatch& match, const http::RequestHead& head,
                     absl::string_view query);

}  // namespace countersign::router

#endif  // COUNTERSIGN_PROXY_ROUTER_ROUTE_MATCH_H_
