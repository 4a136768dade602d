#include "proxy/upstream/pool/lingering_connections.h"

#include <algorithm>
#include <utility>

namespace countersign::upstream {

void LingeringConnections::Adopt(std::unique_ptr<ClientConnection> connection) {
  ClientConnection& added = *connection;
  added.SetOwner(*this);
  connections_.push_back(std::move(connection));
  if (added.ready()) {
    added.Retire();
  } else {
    added.Abort(buffer::CloseReason::kLocalReset);
  }
}

void LingeringConnections::OnConnectionClosed(ClientConnection& connection, buffer::CloseReason,
                                              const std::string&) {
  const auto it = std::find_if(connections_.begin(), connections_.end(),
                               [&](const auto& one) { return one.get() == &connection; });
  dispatcher_.DeferredDelete(std::move(*it));
  connections_.erase(it);
}

}  // namespace countersign::upstream
