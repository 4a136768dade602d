// What all HTTP connections to endpoints of one worker share.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_POOL_POOL_SHARED_H_
#define COUNTERSIGN_PROXY_UPSTREAM_POOL_POOL_SHARED_H_

#include <cstddef>
#include <memory>

#include "absl/strings/string_view.h"
#include "api/net/address.h"
#include "api/spiffe/verifier.h"
#include "proxy/event/dispatcher.h"
#include "proxy/http/codec.h"
#include "proxy/tls/peer_verifier.h"
#include "proxy/tls/tls_context.h"
#include "proxy/upstream/lb/random.h"

namespace countersign::upstream {

class ClientConnection;
class HbonePool;
class LingeringConnections;

// Told of the mesh connections that carry HTTP. (Those in tunnels are HbonePool's.)
class PoolObserver {
 public:
  // The handshake is over, the peer verified.
  virtual void OnPeerConnected(const spiffe::PeerSvid& peer) = 0;
  virtual void OnPeerDisconnected(const spiffe::PeerSvid& peer) = 0;
  // `label` for the metric, `sentence` for the log.
  virtual void OnHandshakeFailed(const net::Address& address, absl::string_view label,
                                 absl::string_view sentence) = 0;
  // A connection could not be made for want of a descriptor or a port of this proxy's.
  virtual void OnNoResources(absl::string_view sentence) = 0;

 protected:
  ~PoolObserver() = default;
};

// Every HTTP connection of the worker. For what comes to all of them at once.
class ConnectionList {
 public:
  void Add(ClientConnection& connection);
  void Remove(ClientConnection& connection);
  size_t size() const { return size_; }
  // `call` may end any of them: what ends is taken off at once, and deleted with the turn.
  template <typename Call>
  void ForEach(Call call);

 private:
  ClientConnection* Next(ClientConnection* connection) const;

  ClientConnection* head_ = nullptr;
  ClientConnection* cursor_ = nullptr;  // the next of the ForEach under way
  size_t size_ = 0;
};

template <typename Call>
void ConnectionList::ForEach(Call call) {
  for (ClientConnection* connection = head_; connection != nullptr; connection = cursor_) {
    cursor_ = Next(connection);
    call(*connection);
  }
}

struct PoolShared {
  event::Dispatcher& dispatcher;
  tls::PeerVerifier& verifier;
  HbonePool& tunnels;
  PoolObserver& observer;
  Random random;
  http::CodecLimits limits;
  std::shared_ptr<const tls::TlsContext> context;  // null: no certificate yet
  ConnectionList connections;
  LingeringConnections* lingering = nullptr;
};

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_POOL_POOL_SHARED_H_
