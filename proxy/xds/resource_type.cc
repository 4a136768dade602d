#include "proxy/xds/resource_type.h"

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "api/xds/names.h"

namespace countersign::xds {

const char* ResourceTypeUrl(ResourceType type) {
  switch (type) {
    case ResourceType::kCluster:
      return kClusterUrl;
    case ResourceType::kEndpoints:
      return kEndpointsUrl;
    case ResourceType::kListener:
      return kListenerUrl;
    case ResourceType::kRoutes:
      return kRoutesUrl;
  }
  return "";
}

const char* ResourceTypeLabel(ResourceType type) {
  switch (type) {
    case ResourceType::kCluster:
      return "cluster";
    case ResourceType::kEndpoints:
      return "endpoints";
    case ResourceType::kListener:
      return "listener";
    case ResourceType::kRoutes:
      return "routes";
  }
  return "";
}

bool ResourceTypeOfUrl(const std::string& url, ResourceType* type) {
  for (ResourceType known : kResourceTypes) {
    if (url == ResourceTypeUrl(known)) {
      *type = known;
      return true;
    }
  }
  return false;
}

std::string DestinationName(const net::Address& destination) {
  return absl::StrCat(kDestinationPrefix, destination.ToString());
}

absl::optional<net::Address> DestinationOfName(const std::string& name) {
  if (!absl::StartsWith(name, kDestinationPrefix)) {
    return absl::nullopt;
  }
  const absl::StatusOr<net::Address> address =
      net::Address::Parse(absl::string_view(name).substr(sizeof(kDestinationPrefix) - 1));
  if (!address.ok() || DestinationName(*address) != name) {
    return absl::nullopt;
  }
  return *address;
}

}  // namespace countersign::xds
