// What a route does with the requests that it matches. Pure.
#ifndef COUNTERSIGN_PROXY_CONFIG_ROUTE_ACTION_TRANSLATION_H_
#define COUNTERSIGN_PROXY_CONFIG_ROUTE_ACTION_TRANSLATION_H_

#include <string>

#include "api/xds/route.pb.h"
#include "google/protobuf/any.pb.h"
#include "google/protobuf/map.h"
#include "proxy/config/field_check.h"
#include "proxy/config/route.h"

namespace countersign::config {

// `inherited` is the virtual host's retry policy, for routes without one; null: there is none.
ForwardAction TranslateForward(const envoy::config::route::v3::RouteAction& in,
                               const RetryPolicy* inherited, const std::string& path,
                               FieldCheck* check);
RetryPolicy TranslateRetry(const envoy::config::route::v3::RetryPolicy& in, const std::string& path,
                           FieldCheck* check);
RedirectAction TranslateRedirect(const envoy::config::route::v3::RedirectAction& in,
                                 const std::string& path, FieldCheck* check);
DirectResponseAction TranslateDirectResponse(
    const envoy::config::route::v3::DirectResponseAction& in, const std::string& path,
    FieldCheck* check);
// Of a route's typed_per_filter_config, in which nothing else may stand.
FaultPolicy TranslateFault(
    const google::protobuf::Map<std::string, google::protobuf::Any>& per_filter,
    const std::string& path, FieldCheck* check);

}  // namespace countersign::config

#endif  // COUNTERSIGN_PROXY_CONFIG_ROUTE_ACTION_TRANSLATION_H_
