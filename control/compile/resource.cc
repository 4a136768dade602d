#include "control/compile/resource.h"

#include "api/xds/names.h"

namespace countersign::control::compile {

const char* TypeUrl(Type type) {
  switch (type) {
    case Type::kCluster:
      return xds::kClusterUrl;
    case Type::kEndpoints:
      return xds::kEndpointsUrl;
    case Type::kListener:
      return xds::kListenerUrl;
    case Type::kRoutes:
      return xds::kRoutesUrl;
  }
  return "";
}

const char* TypeLabel(Type type) {
  switch (type) {
    case Type::kCluster:
      return "cluster";
    case Type::kEndpoints:
      return "endpoints";
    case Type::kListener:
      return "listener";
    case Type::kRoutes:
      return "routes";
  }
  return "";
}

bool TypeOfUrl(absl::string_view url, Type* type) {
  for (Type known : kPushOrder) {
    if (url == TypeUrl(known)) {
      *type = known;
      return true;
    }
  }
  return false;
}

}  // namespace countersign::control::compile
