// Connections that nobody will use again, until they have said farewell.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_POOL_LINGERING_CONNECTIONS_H_
#define COUNTERSIGN_PROXY_UPSTREAM_POOL_LINGERING_CONNECTIONS_H_

#include <memory>
#include <vector>

#include "proxy/upstream/pool/client_connection.h"

namespace countersign::upstream {

// One a worker, on its thread: takes the connections of a pool whose host or cluster is gone. They
// end within a second.
class LingeringConnections final : private ClientConnection::Owner {
 public:
  explicit LingeringConnections(event::Dispatcher& dispatcher) : dispatcher_(dispatcher) {}

  // One without streams.
  void Adopt(std::unique_ptr<ClientConnection> connection);
  size_t size() const { return connections_.size(); }

 private:
  void OnConnectionReady(ClientConnection&) override {}
  void OnConnectionChanged(ClientConnection&) override {}
  void OnConnectionClosed(ClientConnection& connection, buffer::CloseReason,
                          const std::string&) override;

  event::Dispatcher& dispatcher_;
  std::vector<std::unique_ptr<ClientConnection>> connections_;
};

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_POOL_LINGERING_CONNECTIONS_H_
