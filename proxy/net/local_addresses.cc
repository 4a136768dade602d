#include "proxy/net/local_addresses.h"

#include <ifaddrs.h>

namespace countersign::net {

bool LocalAddresses::Contains(const IpAddress& address, Instant now) {
  if (address.IsLoopback() || addresses_.contains(address)) return true;
  if (read_at_ != Instant{} && now - read_at_ < std::chrono::seconds(1)) return false;
  read_at_ = now;
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) return false;
  addresses_.clear();
  for (const ifaddrs* entry = list; entry != nullptr; entry = entry->ifa_next) {
    if (entry->ifa_addr == nullptr) continue;
    const int family = entry->ifa_addr->sa_family;
    if (family != AF_INET && family != AF_INET6) continue;
    const socklen_t length = family == AF_INET ? 16 : 28;  // sockaddr_in, sockaddr_in6
    const absl::StatusOr<Address> found = Address::FromSockaddr(entry->ifa_addr, length);
    if (found.ok()) addresses_.insert(found->ip());
  }
  freeifaddrs(list);
  return addresses_.contains(address);
}

}  // namespace countersign::net
