// Tunnels to other sidecars, shared by the connections that go there: a new TCP connection costs a
// stream and no handshake.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_HBONE_POOL_H_
#define COUNTERSIGN_PROXY_UPSTREAM_HBONE_POOL_H_

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "absl/container/node_hash_map.h"
#include "api/net/address.h"
#include "api/spiffe/spiffe_id.h"
#include "proxy/event/dispatcher.h"
#include "proxy/tls/peer_verifier.h"
#include "proxy/tls/tls_context.h"
#include "proxy/upstream/tunnel_connection.h"

namespace countersign::upstream {

// One a worker. Tunnels are kept by (tunnel address, identity that must answer); the source's
// identity is always our own. A tunnel takes no new streams once our certificate was replaced or
// either side's has expired; those that run on it finish.
class HbonePool final : private TunnelConnection::Owner {
 public:
  // Someone who waits for a stream; a member of the object that waits, whose destructor takes it
  // out of the queue.
  class Request {
   public:
    Request() = default;
    Request(const Request&) = delete;
    Request& operator=(const Request&) = delete;
    bool waiting() const { return queue_ != nullptr; }
    void Cancel();

    // Exactly one of these is called, perhaps before NewStream returns.
    virtual void OnStreamReady(std::unique_ptr<http::h2::TunnelStream> stream,
                               TunnelConnection& tunnel) = 0;
    virtual void OnStreamFailed(buffer::CloseReason reason, const std::string& explanation) = 0;

   protected:
    ~Request() { Cancel(); }

   private:
    friend class HbonePool;
    std::vector<Request*>* queue_ = nullptr;
    std::string authority_;
  };

  // Told of what the worker counts and logs.
  class Observer {
   public:
    virtual void OnTunnelOpened(const TunnelConnection& tunnel) = 0;
    // It was opened if tunnel.tls().open(). kFinished and an empty explanation: an orderly end.
    virtual void OnTunnelEnded(const TunnelConnection& tunnel, const net::Address& address,
                               const spiffe::SpiffeId& expected, buffer::CloseReason reason,
                               const std::string& explanation) = 0;

   protected:
    ~Observer() = default;
  };

  struct Options {
    uint32_t max_streams_per_tunnel = 100;
    std::chrono::milliseconds idle_timeout{std::chrono::minutes(5)};
    http::h2::TunnelSession::Limits limits;
  };

  HbonePool(event::Dispatcher& dispatcher, tls::PeerVerifier& verifier, Observer& observer,
            const Options& options);
  ~HbonePool();

  // Null: no certificate yet (requests fail). Tunnels with the old one are retired.
  void SetContext(std::shared_ptr<const tls::TlsContext> context);
  // Ends every tunnel whose peer `denied` says yes to, and returns how many.
  int CloseIf(const std::function<bool(const spiffe::PeerSvid&)>& denied,
              buffer::CloseReason reason);

  void NewStream(const net::Address& tunnel, const spiffe::SpiffeId& identity,
                 const net::Address& destination, std::chrono::milliseconds connect_timeout,
                 Request& request);

  size_t tunnels() const { return tunnels_; }

 private:
  struct Key {
    net::Address address;
    spiffe::SpiffeId identity;
    bool operator==(const Key&) const = default;
    template <typename H>
    friend H AbslHashValue(H h, const Key& key) {
      return H::combine(std::move(h), key.address, key.identity);
    }
  };
  struct Group;
  struct Member {
    std::unique_ptr<TunnelConnection> tunnel;
    std::vector<Request*> waiting;  // for the handshake
    absl::Time retire_at = absl::InfiniteFuture();
    bool retired = false;
    Group* group;
    std::unique_ptr<event::Timer> idle;
  };
  struct Group {
    Key key;
    std::vector<std::unique_ptr<Member>> members;
  };

  void OnTunnelOpen(TunnelConnection& tunnel) override;
  void OnTunnelRequest(TunnelConnection&, std::unique_ptr<http::h2::TunnelStream> stream,
                       absl::string_view) override;
  void OnTunnelChanged(TunnelConnection& tunnel) override;
  void OnTunnelClosed(TunnelConnection& tunnel, buffer::CloseReason reason,
                      const std::string& explanation) override;

  Member* Find(const TunnelConnection& tunnel);
  bool HasRoom(const Member& member) const;
  void Connect(Group& group, std::chrono::milliseconds timeout, Request& request);
  void Hand(Member& member, Request& request);
  void CheckIdle(Member& member);

  event::Dispatcher& dispatcher_;
  tls::PeerVerifier& verifier_;
  Observer& observer_;
  const Options options_;
  std::shared_ptr<const tls::TlsContext> context_;
  absl::node_hash_map<Key, Group> groups_;
  absl::flat_hash_map<const TunnelConnection*, Member*> by_tunnel_;
  size_t tunnels_ = 0;
};

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_HBONE_POOL_H_
