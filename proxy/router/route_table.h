// Which route a request takes.
#ifndef COUNTERSIGN_PROXY_ROUTER_ROUTE_TABLE_H_
#define COUNTERSIGN_PROXY_ROUTER_ROUTE_TABLE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/string_view.h"
#include "proxy/config/route.h"
#include "proxy/http/message.h"

namespace countersign::router {

// Borrowed from the table. Null members: none matches.
struct RouteChoice {
  const config::RouteConfiguration* table = nullptr;
  const config::VirtualHost* virtual_host = nullptr;
  const config::Route* route = nullptr;
};

// Made once for each RouteConfiguration, immutable, shared by all workers. Pure: no lock, and no
// allocation on the way (regular expressions excepted: RE2 has both for its automaton's states, up
// to the bound that it was compiled with). A look-up is linear in the request's size; virtual hosts
// are found by hash, and so are exact paths of virtual hosts with many routes.
//
// A domain is compared with the request's authority as it came and with the authority without its
// port and without a final dot, both in lower case.
class RouteTable {
 public:
  // A name in DNS has 253 bytes at most (RFC 1035, section 3.1); an authority that is longer than a
  // name with its port matches `*` alone.
  static constexpr size_t kMaxAuthorityBytes = 260;
  // Virtual hosts with fewer routes are walked through.
  static constexpr size_t kIndexedRoutes = 8;

  explicit RouteTable(std::shared_ptr<const config::RouteConfiguration> routes);

  // The path of `head` is normalised already.
  RouteChoice Find(const http::RequestHead& head) const;
  const config::RouteConfiguration& routes() const { return *routes_; }

 private:
  static constexpr uint32_t kNone = UINT32_MAX;
  using HostMap = absl::flat_hash_map<absl::string_view, uint32_t>;
  struct Wildcards {
    size_t length;  // of the texts in `hosts`, without the star
    HostMap hosts;
  };
  // Of one virtual host: for each exact path its first route, and what else must be tried, in
  // order.
  struct RouteIndex {
    absl::flat_hash_map<absl::string_view, uint32_t> exact;
    std::vector<uint32_t> next;    // by route: the next one of the same exact path
    std::vector<uint32_t> others;  // routes whose path is not exact
  };

  static void AddWildcard(absl::string_view text, uint32_t host, std::vector<Wildcards>& to);
  uint32_t FindVirtualHost(absl::string_view authority) const;
  static const config::Route* FindInIndex(const config::VirtualHost& host, const RouteIndex& index,
                                          const http::RequestHead& head, absl::string_view path,
                                          absl::string_view query);

  std::shared_ptr<const config::RouteConfiguration> routes_;
  HostMap exact_;
  std::vector<Wildcards> suffixes_;  // longest first
  std::vector<Wildcards> prefixes_;  // longest first
  uint32_t any_ = kNone;
  std::vector<std::unique_ptr<const RouteIndex>> indexes_;  // by virtual host; null: few routes
};

}  // namespace countersign::router

#endif  // COUNTERSIGN_PROXY_ROUTER_ROUTE_TABLE_H_
