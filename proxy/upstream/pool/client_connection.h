// A connection to an endpoint that carries HTTP requests.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_POOL_CLIENT_CONNECTION_H_
#define COUNTERSIGN_PROXY_UPSTREAM_POOL_CLIENT_CONNECTION_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "api/net/address.h"
#include "proxy/buffer/byte_stream.h"
#include "proxy/config/cluster.h"
#include "proxy/event/dispatcher.h"
#include "proxy/http/codec.h"
#include "proxy/net/connection.h"
#include "proxy/tls/tls_transport_socket.h"
#include "proxy/upstream/hbone_pool.h"
#include "proxy/upstream/http_stream_request.h"
#include "proxy/upstream/pool/pool_shared.h"

namespace countersign::upstream {

// A stream of bytes (plain TCP, mesh TLS, or a stream inside a tunnel) with a client codec on it.
// Output is framed once, at the end of the loop's turn. Lives on its worker's thread; belongs to
// its owner, and after OnConnectionClosed to DeferredDelete.
class ClientConnection final : public event::Deferred,
                               private buffer::ByteStream::Handler,
                               private http::ClientCodec::Owner,
                               private HbonePool::Request {
 public:
  class Owner {
   public:
    // It takes streams from now on: the peer is verified where that is asked for, and has shown
    // with its first bytes that it speaks HTTP/2 where that is spoken.
    virtual void OnConnectionReady(ClientConnection& connection) = 0;
    // A stream ended, or it takes no more.
    virtual void OnConnectionChanged(ClientConnection& connection) = 0;
    // Over; its streams have ended before. `explanation` is empty for an orderly end. The owner
    // takes it apart through DeferredDelete.
    virtual void OnConnectionClosed(ClientConnection& connection, buffer::CloseReason reason,
                                    const std::string& explanation) = 0;

   protected:
    ~Owner() = default;
  };

  struct Options {
    http::Protocol protocol = http::Protocol::kHttp11;
    config::Endpoint endpoint;
    std::chrono::milliseconds connect_timeout{5'000};  // TCP, tunnel, TLS and SETTINGS
    std::chrono::milliseconds idle_timeout{60'000};
    std::chrono::milliseconds max_age{0};  // 0: none of its own
    uint32_t max_requests = 0;             // 0: no limit
    uint32_t max_streams = 100;            // at a time, HTTP/2
  };

  ClientConnection(PoolShared& shared, Owner& owner, Options options);
  ~ClientConnection() override;

  // Once, first. May call the owner, to say that it failed already.
  void Connect();
  // Null: it takes none; see usable().
  http::ClientStream* NewStream(http::ClientStream::Handler& handler);

  // Has carried a request.
  bool served() const { return requests_ > 0; }
  // Has come as far as to take streams.
  bool ready() const { return ready_; }
  // Takes another stream now.
  bool usable() const;
  // Whether it will take streams again once some of its own have ended.
  bool finished() const { return retired_ || closed_ || codec_->draining(); }
  // How many more it takes, as far as one knows before it is ready.
  uint32_t room() const;
  uint32_t active_streams() const { return codec_->active_streams(); }
  bool closed() const { return closed_; }
  bool mesh() const { return options_.endpoint.transport != config::EndpointTransport::kPlaintext; }
  const UpstreamConnectionInfo& info() const { return info_; }
  const Options& options() const { return options_; }
  http::Protocol protocol() const { return options_.protocol; }

  // No new streams; ends with its last one. One that is being set up serves those who wait for it.
  void Retire();
  // Breaks it off with all its streams; the owner is told.
  void Abort(buffer::CloseReason reason);
  // From now on another answers for it.
  void SetOwner(Owner& owner) { owner_ = &owner; }

 private:
  friend class HttpPool;
  friend class ConnectionList;

  enum class State : uint8_t { kConnecting, kOpen, kEnding, kClosed };

  void ConnectSocket(const net::Address& address, std::unique_ptr<net::TransportSocket> transport);
  // It carries a tunnel, whose directions end on their own.
  bool half_open() const {
    return codec_->active_streams() > 0 && codec_->ending() == http::Ending::kFinish;
  }
  void BecomeReady();
  void BecomeIdle();
  void EndGracefully();
  void Frame();
  void OnTimeout();
  void Finish(buffer::CloseReason reason, std::string explanation);

  // HbonePool::Request
  void OnStreamReady(std::unique_ptr<http::h2::TunnelStream> stream,
                     TunnelConnection& tunnel) override;
  void OnStreamFailed(buffer::CloseReason reason, const std::string& explanation) override;
  // ByteStream::Handler
  void OnOpen(buffer::ByteStream& stream) override;
  void OnData(buffer::ByteStream& stream, buffer::Buffer& data, bool end) override;
  void OnWritable(buffer::ByteStream& stream) override;
  void OnClosed(buffer::ByteStream& stream, buffer::CloseReason reason) override;
  // http::ClientCodec::Owner
  void OnCodecOutput() override;
  void OnCodecReadDisable(bool disable) override;
  void OnStreamGone() override;
  void OnPeerDraining() override;

  PoolShared& shared_;
  Owner* owner_;
  const Options options_;
  event::Task frame_;
  event::Timer timer_;  // connecting, idle, or ending
  std::unique_ptr<buffer::ByteStream> stream_;
  net::Connection* socket_ = nullptr;         // stream_, if it is one
  tls::TlsTransportSocket* tls_ = nullptr;    // socket_'s
  http::h2::TunnelStream* tunnel_ = nullptr;  // stream_, if it is one
  std::unique_ptr<http::ClientCodec> codec_;
  UpstreamConnectionInfo info_;
  event::Instant retire_at_ = event::Instant::max();
  event::Instant idle_since_{};
  size_t last_unsent_ = 0;  // when the time to end was last over
  uint32_t requests_ = 0;
  State state_ = State::kConnecting;
  bool ready_ = false;  // also once it is over
  bool retired_ = false;
  bool retire_once_ready_ = false;
  bool closed_ = false;
  bool open_ = false;  // TCP and TLS
  bool goodbye_said_ = false;
  bool end_written_ = false;
  bool peer_reported_ = false;

  // The pool's.
  uint32_t counted_ = 0;  // streams that the pool has counted
  size_t index_ = 0;
  bool available_ = false;
  ClientConnection* next_available_ = nullptr;
  ClientConnection* previous_available_ = nullptr;
  // The worker's list.
  ClientConnection* next_ = nullptr;
  ClientConnection* previous_ = nullptr;
};

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_POOL_CLIENT_CONNECTION_H_
