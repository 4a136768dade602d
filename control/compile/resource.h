// A compiled resource and how it is named.
#ifndef COUNTERSIGN_CONTROL_COMPILE_RESOURCE_H_
#define COUNTERSIGN_CONTROL_COMPILE_RESOURCE_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"

namespace countersign::control::compile {

enum class Type : uint8_t { kCluster, kEndpoints, kListener, kRoutes };
inline constexpr int kTypeCount = 4;
// In the order in which an update must reach a proxy, so that nothing refers to what is not there
// yet (xDS protocol, `Eventual consistency considerations`).
inline constexpr Type kPushOrder[kTypeCount] = {Type::kCluster, Type::kEndpoints, Type::kListener,
                                                Type::kRoutes};

const char* TypeUrl(Type type);
// `listener`: metric labels and log lines.
const char* TypeLabel(Type type);
// Endpoints and routes are asked for by name alone.
inline bool HasWildcard(Type type) { return type == Type::kCluster || type == Type::kListener; }
// False for a type that we do not serve.
bool TypeOfUrl(absl::string_view url, Type* type);

struct ResourceRef {
  Type type;
  std::string name;
  bool operator==(const ResourceRef&) const = default;
};

// Immutable, shared by all streams that carry it.
struct Compiled {
  std::string name;
  // A digest of the content: equal content has equal versions in every replica and after every
  // restart, so that a proxy that reconnects is sent nothing that it has.
  std::string version;
  // A serialised envoy.service.discovery.v3.Resource.
  std::string bytes;
  // What it refers to, in the order of kPushOrder.
  std::vector<ResourceRef> references;
};

}  // namespace countersign::control::compile

#endif  // COUNTERSIGN_CONTROL_COMPILE_RESOURCE_H_
