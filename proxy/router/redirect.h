// Where a redirect leads.
#ifndef COUNTERSIGN_PROXY_ROUTER_REDIRECT_H_
#define COUNTERSIGN_PROXY_ROUTER_REDIRECT_H_

#include <string>

#include "absl/strings/string_view.h"
#include "proxy/config/route.h"
#include "proxy/http/message.h"

namespace countersign::router {

// The Location (RFC 9110, section 10.2.2) that answers `head`, as an absolute URI, into `out`. What
// the action does not name is kept from the request. A port goes when the scheme changes and the
// port was the old one's default, and when it is the new one's default.
void BuildLocation(const config::RedirectAction& action, const config::PathMatch& match,
                   const http::RequestHead& head, std::string& out);

}  // namespace countersign::router

#endif  // COUNTERSIGN_PROXY_ROUTER_REDIRECT_H_
