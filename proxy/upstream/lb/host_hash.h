// What hash policies know a host by.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_LB_HOST_HASH_H_
#define COUNTERSIGN_PROXY_UPSTREAM_LB_HOST_HASH_H_

#include <cstdint>
#include <vector>

#include "absl/types/span.h"
#include "proxy/upstream/host.h"

namespace countersign::upstream {

// Of the host's address and port: FNV-1a over their bytes, then mixed (Random::Mix). The same in
// every process and version, so that all proxies of a mesh send a key to the same host.
uint64_t HostHash(const Host& host);

// `hosts` in the order of their addresses: tables must not depend on the order of configuration.
std::vector<Host*> InOrderOfAddress(absl::Span<Host* const> hosts);

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_LB_HOST_HASH_H_
