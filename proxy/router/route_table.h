// Which route a request takes.
#ifndef COUNTERSIGN_PROXY_ROUTER_ROUTE_TABLE_H_
#define COUNTERSIGN_PROXY_ROUTER_ROUTE_TABLE_H_

#include <cstdint>
#include <memory>

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
// allocation on the way.
class RouteTable {
 public:
  explicit RouteTable(std::shared_ptr<const config::RouteConfiguration> routes);

  // The path of `head` is normalised already.
  RouteChoice Find(const http::RequestHead& head) const;
  const config::RouteConfiguration& routes() const { return *routes_; }

 private:
  std::shared_ptr<const config::RouteConfiguration> routes_;
};

}  // namespace countersign::router

#endif  // COUNTERSIGN_PROXY_ROUTER_ROUTE_TABLE_H_
