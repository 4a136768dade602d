// The HTTP connections to one host in one protocol, and who waits for one.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_POOL_HTTP_POOL_H_
#define COUNTERSIGN_PROXY_UPSTREAM_POOL_HTTP_POOL_H_

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "proxy/config/cluster.h"
#include "proxy/event/dispatcher.h"
#include "proxy/upstream/circuit_breakers.h"
#include "proxy/upstream/host.h"
#include "proxy/upstream/http_stream_request.h"
#include "proxy/upstream/pool/client_connection.h"
#include "proxy/upstream/pool/pool_shared.h"

namespace countersign::upstream {

// Belongs to its host. HTTP/1.1: one request a connection; the one that was used last is used
// next, so that the others grow idle and close. HTTP/2: many, and another connection only when one
// is full. A host that has no connection may always make one, even at the cluster's limit: else
// hosts could starve each other (as in Envoy). In steady state a request allocates nothing.
class HttpPool final : public event::Deferred,
                       private HttpStreamQueue::Owner,
                       private ClientConnection::Owner {
 public:
  // What the pool tells its cluster.
  class Owner {
   public:
    // `host` has one stream more (1) or less (-1) waiting or running. With the last, the host may
    // be shut down and die at the end of the turn.
    virtual void OnLoad(Host& host, int change) = 0;
    virtual void OnConnectionOpened(Host& host) = 0;
    // `opened`: it was told of by OnConnectionOpened before.
    virtual void OnConnectionEnded(Host& host, bool opened, buffer::CloseReason reason,
                                   const std::string& explanation) = 0;
    virtual void OnOverflow(CircuitBreakers::Kind breaker) = 0;
    virtual CircuitBreakers& breakers() = 0;
    virtual const config::Cluster& config() const = 0;

   protected:
    ~Owner() = default;
  };

  HttpPool(PoolShared& shared, Owner& owner, Host& host, http::Protocol protocol);
  ~HttpPool() override;

  void NewStream(HttpStreamRequest& request);
  // Nobody waits or runs; all connections end in order, elsewhere. The pool is of no more use.
  void Shutdown();
  // What is open takes no new streams; what runs on it finishes.
  void RetireAll();

  size_t connections() const { return connections_.size(); }
  uint32_t waiting() const { return waiting_.size(); }
  uint32_t streams() const { return streams_; }

 private:
  // ClientConnection::Owner
  void OnConnectionReady(ClientConnection& connection) override;
  void OnConnectionChanged(ClientConnection& connection) override;
  void OnConnectionClosed(ClientConnection& connection, buffer::CloseReason reason,
                          const std::string& explanation) override;
  // HttpStreamQueue::Owner
  void OnRequestCancelled() override;

  void Assign(ClientConnection& connection, HttpStreamRequest& request);
  void Count(ClientConnection& connection);
  void ConnectAsNeeded();
  void ServeWaiting(ClientConnection& connection);
  void Fail(HttpStreamRequest& request, PoolFailure failure, buffer::CloseReason reason,
            const std::string& explanation);
  void FailWaiting(uint32_t count, PoolFailure failure, buffer::CloseReason reason,
                   const std::string& explanation);
  void MakeAvailable(ClientConnection& connection);
  void MakeUnavailable(ClientConnection& connection);
  std::string Overflow(CircuitBreakers::Kind kind) const;
  std::string Where() const;

  PoolShared& shared_;
  Owner& owner_;
  Host& host_;
  const http::Protocol protocol_;
  std::vector<std::unique_ptr<ClientConnection>> connections_;
  ClientConnection* available_ = nullptr;  // with room; the one to use next is first
  HttpStreamQueue waiting_;
  uint32_t streams_ = 0;     // running
  uint32_t connecting_ = 0;  // connections that are not ready
  bool shut_ = false;
};

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_POOL_HTTP_POOL_H_
