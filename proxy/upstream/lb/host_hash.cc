#include "proxy/upstream/lb/host_hash.h"

#include <algorithm>
#include <cstring>

#include "proxy/upstream/lb/random.h"

namespace countersign::upstream {

uint64_t HostHash(const Host& host) {
  const net::Address& address = host.endpoint.address;
  uint64_t hash = 0xcbf29ce484222325u;
  const auto add = [&hash](uint8_t byte) { hash = (hash ^ byte) * 0x100000001b3u; };
  for (size_t i = 0; i < address.ip().size(); ++i) add(address.ip().data()[i]);
  add(static_cast<uint8_t>(address.port() >> 8));
  add(static_cast<uint8_t>(address.port()));
  return Random::Mix(hash);
}

std::vector<Host*> InOrderOfAddress(absl::Span<Host* const> hosts) {
  std::vector<Host*> sorted(hosts.begin(), hosts.end());
  std::sort(sorted.begin(), sorted.end(), [](const Host* a, const Host* b) {
    const net::Address& x = a->endpoint.address;
    const net::Address& y = b->endpoint.address;
    if (x.ip().size() != y.ip().size()) return x.ip().size() < y.ip().size();
    const int order = std::memcmp(x.ip().data(), y.ip().data(), x.ip().size());
    return order != 0 ? order < 0 : x.port() < y.port();
  });
  return sorted;
}

}  // namespace countersign::upstream
