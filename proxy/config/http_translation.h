// HTTP connection managers. Pure.
#ifndef COUNTERSIGN_PROXY_CONFIG_HTTP_TRANSLATION_H_
#define COUNTERSIGN_PROXY_CONFIG_HTTP_TRANSLATION_H_

#include <memory>
#include <string>

#include "absl/status/statusor.h"
#include "google/protobuf/any.pb.h"
#include "proxy/config/http.h"
#include "proxy/config/route.h"

namespace countersign::config {

struct HttpManager {
  HttpOptions options;
  // One of the two: the name of a RouteConfiguration, or what stands inline.
  std::string routes_name;
  std::shared_ptr<const RouteConfiguration> routes;
  bool http2_only = false;  // codec_type HTTP2
};

// Unpacks and translates; `path` names the Any.
absl::StatusOr<HttpManager> TranslateHttpManager(const google::protobuf::Any& in,
                                                 const std::string& path);
bool IsHttpManager(const google::protobuf::Any& in);

}  // namespace countersign::config

#endif  // COUNTERSIGN_PROXY_CONFIG_HTTP_TRANSLATION_H_
