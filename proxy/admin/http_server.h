#ifndef COUNTERSIGN_PROXY_ADMIN_HTTP_SERVER_H_
#define COUNTERSIGN_PROXY_ADMIN_HTTP_SERVER_H_

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "absl/container/flat_hash_map.h"
#include "absl/status/status.h"
#include "api/net/address.h"
#include "proxy/admin/request.h"
#include "proxy/event/dispatcher.h"

namespace countersign::admin {

struct HttpServerOptions {
  // Refuses to listen elsewhere than on loopback, any Host header that is not a loopback name (a
  // page in somebody's browser must not reach us through a DNS name that it controls), and whatever
  // a browser marks as another site's request.
  bool loopback_only = false;
  size_t max_connections = 32;
  std::chrono::milliseconds request_timeout{5'000};
  std::chrono::milliseconds response_timeout{30'000};
};

// A small HTTP server on an event loop that others use too: bounded connections, bounded heads, one
// request a connection, a deadline for everything.
//
// Thread: the dispatcher's. Lifetime: shorter than the dispatcher's.
class HttpServer {
 public:
  // Answers a request, now or later on the same thread; only the first answer counts.
  using Done = std::function<void(Response)>;
  using Handler = std::function<void(const Request&, Done)>;

  HttpServer(event::Dispatcher& dispatcher, HttpServerOptions options, Handler handler);
  ~HttpServer();

  // Errors name the address and what to do. May be called for several addresses.
  absl::Status Listen(const net::Address& address);
  // The port that the last Listen got, for port 0.
  uint16_t port() const { return port_; }

 private:
  class Listener;
  class Connection;

  void OnAccepted(int fd);
  void OnRequest(uint64_t connection, const Request& request);
  void Close(uint64_t connection);

  event::Dispatcher& dispatcher_;
  const HttpServerOptions options_;
  const Handler handler_;
  uint16_t port_ = 0;
  uint64_t next_id_ = 1;
  std::vector<std::unique_ptr<Listener>> listeners_;
  absl::flat_hash_map<uint64_t, std::unique_ptr<Connection>> connections_;
  // Outlives us in the answers that are still to come.
  std::shared_ptr<HttpServer*> self_;
};

}  // namespace countersign::admin

#endif  // COUNTERSIGN_PROXY_ADMIN_HTTP_SERVER_H_
