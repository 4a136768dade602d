// What ties requests of one kind to one endpoint.
#ifndef COUNTERSIGN_PROXY_ROUTER_HASH_POLICY_H_
#define COUNTERSIGN_PROXY_ROUTER_HASH_POLICY_H_

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "api/net/address.h"
#include "proxy/config/route.h"
#include "proxy/http/message.h"
#include "proxy/router/dice.h"

namespace countersign::router {

// The same for ever, on every machine: proxies must agree (FNV-1a with MurmurHash3's finaliser).
uint64_t StableHash(absl::string_view bytes);

// The value of a cookie in any of the request's cookie fields; null data: there is none.
absl::string_view FindCookie(const http::HeaderMap& headers, absl::string_view name);

struct RequestHash {
  std::optional<uint64_t> hash;
  // A cookie to set on the response, because the client has none yet; null: none.
  const config::HashPolicy* new_cookie = nullptr;
  uint64_t cookie_value = 0;
};
RequestHash HashRequest(const std::vector<config::HashPolicy>& policies,
                        const http::RequestHead& head, const net::IpAddress& source, Dice& dice);

// `set-cookie` for RequestHash::new_cookie (RFC 6265, section 4.1), into `out`.
void FormatSetCookie(const config::HashPolicy& policy, uint64_t value, std::string& out);

}  // namespace countersign::router

#endif  // COUNTERSIGN_PROXY_ROUTER_HASH_POLICY_H_
