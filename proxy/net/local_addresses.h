// The addresses of this pod's own interfaces.
#ifndef COUNTERSIGN_PROXY_NET_LOCAL_ADDRESSES_H_
#define COUNTERSIGN_PROXY_NET_LOCAL_ADDRESSES_H_

#include <chrono>

#include "absl/container/flat_hash_set.h"
#include "api/net/address.h"

namespace countersign::net {

// One a worker. Read from the kernel at most once a second, and only when an address is asked for
// that was not there: interfaces may come after the proxy.
class LocalAddresses {
 public:
  using Instant = std::chrono::steady_clock::time_point;

  // Also for every loopback address: 127.0.0.0/8 and ::1.
  bool Contains(const IpAddress& address, Instant now);

 private:
  absl::flat_hash_set<IpAddress> addresses_;
  Instant read_at_{};
};

}  // namespace countersign::net

#endif  // COUNTERSIGN_PROXY_NET_LOCAL_ADDRESSES_H_
