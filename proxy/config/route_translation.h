// RouteConfigurations. Pure.
#ifndef COUNTERSIGN_PROXY_CONFIG_ROUTE_TRANSLATION_H_
#define COUNTERSIGN_PROXY_CONFIG_ROUTE_TRANSLATION_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/status/statusor.h"
#include "api/xds/route.pb.h"
#include "proxy/config/route.h"

namespace countersign::config {

// Whatever is not honoured is refused by name; a message that has passed can be carried out as it
// stands. Unknown fields are the caller's to refuse: this may be part of a larger message, and
// `path` names it.
absl::StatusOr<std::shared_ptr<const RouteConfiguration>> TranslateRoutes(
    const envoy::config::route::v3::RouteConfiguration& in, const std::string& path);

// The clusters that requests may go to, mirrors included; sorted, each once.
std::vector<std::string> ClustersOf(const RouteConfiguration& routes);

}  // namespace countersign::config

#endif  // COUNTERSIGN_PROXY_CONFIG_ROUTE_TRANSLATION_H_
