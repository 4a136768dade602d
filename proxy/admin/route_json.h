// Routes as /config_dump shows them.
#ifndef COUNTERSIGN_PROXY_ADMIN_ROUTE_JSON_H_
#define COUNTERSIGN_PROXY_ADMIN_ROUTE_JSON_H_

#include <nlohmann/json.hpp>

#include "proxy/config/route.h"

namespace countersign::admin {

// What differs from the defaults, in Envoy's words.
nlohmann::ordered_json RouteConfigurationJson(const config::RouteConfiguration& configuration);

}  // namespace countersign::admin

#endif  // COUNTERSIGN_PROXY_ADMIN_ROUTE_JSON_H_
