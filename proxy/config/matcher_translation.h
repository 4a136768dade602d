// Matchers of strings, header fields and query parameters, and changes of header fields. Pure.
#ifndef COUNTERSIGN_PROXY_CONFIG_MATCHER_TRANSLATION_H_
#define COUNTERSIGN_PROXY_CONFIG_MATCHER_TRANSLATION_H_

#include <string>

#include "api/xds/core.pb.h"
#include "api/xds/route.pb.h"
#include "api/xds/string_matcher.pb.h"
#include "google/protobuf/repeated_field.h"
#include "proxy/config/field_check.h"
#include "proxy/config/route.h"

namespace countersign::config {

StringMatch TranslateStringMatch(const envoy::type::matcher::v3::StringMatcher& in,
                                 const std::string& path, FieldCheck* check);
HeaderMatch TranslateHeaderMatch(const envoy::config::route::v3::HeaderMatcher& in,
                                 const std::string& path, FieldCheck* check);
QueryMatch TranslateQueryMatch(const envoy::config::route::v3::QueryParameterMatcher& in,
                               const std::string& path, FieldCheck* check);

// `path` is the message that has both fields; `direction` is `request` or `response`.
HeaderChanges TranslateHeaderChanges(
    const google::protobuf::RepeatedPtrField<envoy::config::core::v3::HeaderValueOption>& add,
    const google::protobuf::RepeatedPtrField<std::string>& remove, const std::string& path,
    const char* direction, FieldCheck* check);

}  // namespace countersign::config

#endif  // COUNTERSIGN_PROXY_CONFIG_MATCHER_TRANSLATION_H_
