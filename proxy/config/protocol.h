// Names of what applications speak, as our metadata has them.
#ifndef COUNTERSIGN_PROXY_CONFIG_PROTOCOL_H_
#define COUNTERSIGN_PROXY_CONFIG_PROTOCOL_H_

#include <optional>

#include "absl/strings/string_view.h"
#include "api/xds/names.h"
#include "proxy/config/cluster.h"

namespace countersign::config {

// `auto`, `tcp`, `http`, `http2`; nothing for any other name.
inline std::optional<AppProtocol> ProtocolOfName(absl::string_view name) {
  if (name == xds::kProtocolAuto) return AppProtocol::kAuto;
  if (name == xds::kProtocolTcp) return AppProtocol::kTcp;
  if (name == xds::kProtocolHttp1) return AppProtocol::kHttp1;
  if (name == xds::kProtocolHttp2) return AppProtocol::kHttp2;
  return std::nullopt;
}

}  // namespace countersign::config

#endif  // COUNTERSIGN_PROXY_CONFIG_PROTOCOL_H_
