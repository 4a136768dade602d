// An HTTP/2 tunnel session on its TLS connection: both ends use it.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_TUNNEL_CONNECTION_H_
#define COUNTERSIGN_PROXY_UPSTREAM_TUNNEL_CONNECTION_H_

#include <chrono>
#include <memory>
#include <string>

#include "api/net/address.h"
#include "proxy/event/dispatcher.h"
#include "proxy/http/h2/tunnel_session.h"
#include "proxy/net/connection.h"
#include "proxy/tls/tls_transport_socket.h"

namespace countersign::upstream {

// Lives on its worker's thread; belongs to the pool (client) or the pipeline (server), which
// deletes it through DeferredDelete after OnTunnelClosed.
class TunnelConnection final : public event::Deferred,
                               private buffer::ByteStream::Handler,
                               private http::h2::TunnelSession::Owner {
 public:
  class Owner {
   public:
    // The handshake is over, the peer verified.
    virtual void OnTunnelOpen(TunnelConnection& tunnel) = 0;
    virtual void OnTunnelRequest(TunnelConnection& tunnel,
                                 std::unique_ptr<http::h2::TunnelStream> stream,
                                 absl::string_view authority) = 0;
    // A stream ended, or the peer said that it takes no more.
    virtual void OnTunnelChanged(TunnelConnection& tunnel) = 0;
    // Over; its streams were closed before. `explanation` is in words, empty for an orderly end.
    virtual void OnTunnelClosed(TunnelConnection& tunnel, buffer::CloseReason reason,
                                const std::string& explanation) = 0;

   protected:
    ~Owner() = default;
  };

  struct Options {
    http::h2::TunnelSession::Role role;
    net::Address peer;
    net::Address local;
    std::chrono::milliseconds open_timeout{10'000};  // TCP and TLS, then the peer's SETTINGS
    http::h2::TunnelSession::Limits limits;
  };

  // `socket` connects (client) or is connected (server).
  TunnelConnection(event::Dispatcher& dispatcher, Owner& owner, Options options, net::Socket socket,
                   tls::TlsOptions tls);
  ~TunnelConnection() override;

  http::h2::TunnelSession& session() { return session_; }
  const net::Address& peer_address() const { return options_.peer; }
  const net::Address& local_address() const { return options_.local; }
  bool open() const { return connection_.open(); }
  bool closed() const { return closed_; }
  // Null before the handshake is over.
  const std::shared_ptr<const spiffe::PeerSvid>& peer() const { return tls_->peer(); }
  const tls::TlsTransportSocket& tls() const { return *tls_; }
  event::Instant opened_at() const { return opened_at_; }

  // Breaks it off with all its streams; the owner is told.
  void Abort(buffer::CloseReason reason);
  // Says GOAWAY and ends once what is written is out. For one without streams.
  void CloseGracefully();

 private:
  void OnOpen(buffer::ByteStream&) override;
  void OnData(buffer::ByteStream&, buffer::Buffer& data, bool end) override;
  void OnWritable(buffer::ByteStream&) override { OnSessionOutput(); }
  void OnClosed(buffer::ByteStream&, buffer::CloseReason reason) override;
  void OnSessionOutput() override;
  void OnTunnelRequest(std::unique_ptr<http::h2::TunnelStream> stream,
                       absl::string_view authority) override;
  void OnSessionDraining() override;
  void OnStreamGone() override;

  void Frame();
  void OnTimeout();
  void Finish(buffer::CloseReason reason, std::string explanation);

  event::Dispatcher& dispatcher_;
  Owner& owner_;
  const Options options_;
  event::Task frame_;
  event::Timer timer_;
  tls::TlsTransportSocket* tls_;  // connection_'s
  net::Connection connection_;
  http::h2::TunnelSession session_;
  event::Instant opened_at_;
  bool closed_ = false;
  bool ending_ = false;
};

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_TUNNEL_CONNECTION_H_
