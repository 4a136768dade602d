// An HTTP server on loopback, on the test's own event loop, for tests of pools.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_TESTING_TEST_SERVER_H_
#define COUNTERSIGN_PROXY_UPSTREAM_TESTING_TEST_SERVER_H_

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "api/net/address.h"
#include "proxy/event/dispatcher.h"
#include "proxy/http/codec.h"
#include "proxy/http/testing/recorders.h"
#include "proxy/net/connection.h"
#include "proxy/net/socket.h"
#include "proxy/tls/tls_transport_socket.h"
#include "proxy/upstream/tunnel_connection.h"

namespace countersign::upstream::testing {

// Speaks one protocol, plain or under TLS. Answers each complete request with `status` and "ok"
// unless `hold` is set; then the test answers. Single-threaded.
class TestServer final : private event::FileEvent::Handler, private TunnelConnection::Owner {
 public:
  class Connection;
  struct Options {
    http::Protocol protocol = http::Protocol::kHttp11;
    http::CodecLimits limits;
    // Makes the TLS options of a connection; null: plaintext.
    std::function<tls::TlsOptions()> tls;
    bool mute = false;    // accepts, and says nothing at all
    bool tunnel = false;  // a sidecar's tunnels, under `tls`; each stream is a connection
  };

  TestServer(event::Dispatcher& dispatcher, Options options);
  ~TestServer();

  const net::Address& address() const { return address_; }
  // All that ever came, and those of them that are open.
  size_t accepted() const { return connections_.size(); }
  size_t open() const;
  Connection& connection(size_t i) { return *connections_[i]; }
  // Requests that came, answered or not.
  size_t requests() const;
  std::string last_path() const { return last_path_; }

  bool hold = false;
  uint16_t status = 200;
  std::vector<std::pair<std::string, std::string>> headers;   // of each answer
  std::vector<std::pair<std::string, std::string>> trailers;  // of each answer
  std::string body = "ok";
  int refuse_tunnels = 0;      // with this status, when it is not 0
  std::string last_authority;  // of a tunnelled connection
  size_t tunnels() const { return tunnels_.size(); }

 private:
  void OnFileEvent(uint32_t events) override;
  void OnTunnelOpen(TunnelConnection&) override {}
  void OnTunnelRequest(TunnelConnection& tunnel, std::unique_ptr<http::h2::TunnelStream> stream,
                       absl::string_view authority) override;
  void OnTunnelChanged(TunnelConnection&) override {}
  void OnTunnelClosed(TunnelConnection& tunnel, buffer::CloseReason, const std::string&) override;
  void OnRequest(http::testing::Exchange& exchange);
  void Respond(http::testing::Exchange& exchange);

  event::Dispatcher& dispatcher_;
  const Options options_;
  net::Socket socket_;
  net::Address address_;
  std::unique_ptr<event::FileEvent> event_;
  std::vector<std::unique_ptr<TunnelConnection>> tunnels_;
  std::vector<std::unique_ptr<Connection>> connections_;
  std::string last_path_;
};

// One connection as the server sees it.
class TestServer::Connection final : private buffer::ByteStream::Handler,
                                     private http::ServerCodec::Owner {
 public:
  Connection(TestServer& server, std::unique_ptr<buffer::ByteStream> stream);
  ~Connection();

  bool open() const { return !closed_; }
  // How the peer ended it; kNone while it is open, and where we ended it.
  buffer::CloseReason close_reason() const { return close_reason_; }
  http::ServerCodec& codec() { return *codec_; }
  std::vector<std::unique_ptr<http::testing::Exchange>>& requests() { return recorder_.requests; }
  // Answers the oldest request that waits.
  void Answer();
  void Write(absl::string_view raw);
  void Reset();
  // GOAWAY, or `connection: close`.
  void Drain();

 private:
  void OnData(buffer::ByteStream&, buffer::Buffer& data, bool end) override;
  void OnWritable(buffer::ByteStream&) override { OnCodecOutput(); }
  void OnClosed(buffer::ByteStream&, buffer::CloseReason) override;
  void OnRequest(http::ServerStream& stream) override { recorder_.OnRequest(stream); }
  void OnBadRequest(uint16_t, absl::string_view) override {}
  void OnCodecOutput() override;
  void OnCodecReadDisable(bool disable) override { stream_->ReadDisable(disable); }
  void OnStreamGone() override {}
  void Frame();

  TestServer& server_;
  std::unique_ptr<buffer::ByteStream> stream_;
  event::Task frame_;
  http::testing::ServerRecorder recorder_;
  std::unique_ptr<http::ServerCodec> codec_;
  bool closed_ = false;
  buffer::CloseReason close_reason_ = buffer::CloseReason::kNone;
};

}  // namespace countersign::upstream::testing

#endif  // COUNTERSIGN_PROXY_UPSTREAM_TESTING_TEST_SERVER_H_
