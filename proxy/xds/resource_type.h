// The types of resources and the names of listeners.
#ifndef COUNTERSIGN_PROXY_XDS_RESOURCE_TYPE_H_
#define COUNTERSIGN_PROXY_XDS_RESOURCE_TYPE_H_

#include <cstdint>
#include <string>

#include "absl/types/optional.h"
#include "api/net/address.h"

namespace countersign::xds {

enum class ResourceType : uint8_t { kCluster, kEndpoints, kListener, kRoutes };
inline constexpr int kResourceTypeCount = 4;
inline constexpr ResourceType kResourceTypes[kResourceTypeCount] = {
    ResourceType::kCluster, ResourceType::kEndpoints, ResourceType::kListener,
    ResourceType::kRoutes};

const char* ResourceTypeUrl(ResourceType type);
const char* ResourceTypeLabel(ResourceType type);
bool ResourceTypeOfUrl(const std::string& url, ResourceType* type);

// `outbound/10.0.0.1:80`.
std::string DestinationName(const net::Address& destination);
absl::optional<net::Address> DestinationOfName(const std::string& name);

}  // namespace countersign::xds

#endif  // COUNTERSIGN_PROXY_XDS_RESOURCE_TYPE_H_
