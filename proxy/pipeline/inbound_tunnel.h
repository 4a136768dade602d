// Tunnels from other sidecars, and the connections that come through them.
#ifndef COUNTERSIGN_PROXY_PIPELINE_INBOUND_TUNNEL_H_
#define COUNTERSIGN_PROXY_PIPELINE_INBOUND_TUNNEL_H_

#include <memory>
#include <string>

#include "proxy/filter/tcp_proxy.h"
#include "proxy/net/connection.h"
#include "proxy/pipeline/environment.h"
#include "proxy/pipeline/inbound_http.h"
#include "proxy/pipeline/session.h"

namespace countersign::pipeline {

// A connection to the tunnel port.
void AcceptTunnel(Environment& env, net::Socket socket, const net::Address& client);

class InboundTunnel final : public Session,
                            private Held,
                            private upstream::TunnelConnection::Owner {
 public:
  InboundTunnel(Environment& env, net::Socket socket, const net::Address& client);
  ~InboundTunnel() override;

  void Start();

  bool inbound() const override { return true; }
  bool is_connection() const override { return false; }
  void Describe(ConnectionInfo*) const override {}
  void Reevaluate() override;
  void StartDrain() override;

 private:
  void OnEnvironmentChanged() override;
  void OnTunnelOpen(upstream::TunnelConnection& tunnel) override;
  void OnTunnelRequest(upstream::TunnelConnection& tunnel,
                       std::unique_ptr<http::h2::TunnelStream> stream,
                       absl::string_view authority) override;
  void OnTunnelChanged(upstream::TunnelConnection& tunnel) override;
  void OnTunnelClosed(upstream::TunnelConnection& tunnel, buffer::CloseReason reason,
                      const std::string& explanation) override;
  void OnTimeout();
  void Finish();

  const net::Address client_;
  net::Socket socket_;  // until the tunnel has it
  std::unique_ptr<upstream::TunnelConnection> tunnel_;
  event::Timer timer_;  // holding, then the end of the peer's certificate
  bool held_ = false;
  bool opened_ = false;
  bool finished_ = false;
};

// One connection through a tunnel, to our own application. Where HTTP is spoken it is HTTP here as
// well: what the caller's sidecar took for bytes an application may read as a request, and what
// that says of its caller's identity must not be believed.
class InboundStream final : public Session,
                            private buffer::ByteStream::Handler,
                            private filter::TcpProxy::Owner,
                            private InboundHttp::Owner {
 public:
  InboundStream(Environment& env, std::unique_ptr<http::h2::TunnelStream> stream,
                const net::Address& client, const net::Address& destination,
                std::shared_ptr<const spiffe::PeerSvid> peer);

  void Start();

  bool inbound() const override { return true; }
  void Describe(ConnectionInfo* info) const override;
  void Reevaluate() override;
  void StartDrain() override;
  bool CloseIfIdle() override;
  bool logs_requests() const override { return http_ != nullptr; }

 private:
  const config::PortPolicy& policy() const {
    return env_.config()->inbound.For(destination_.port());
  }
  // The stages, in order.
  void Sniff();
  void Decide();
  void ServeHttp(http::Protocol protocol);
  void Splice();

  void OnOpen(buffer::ByteStream& stream) override;
  void OnData(buffer::ByteStream& stream, buffer::Buffer& data, bool end) override;
  void OnWritable(buffer::ByteStream&) override {}
  void OnClosed(buffer::ByteStream& stream, buffer::CloseReason reason) override;
  void OnProxyDone(buffer::CloseReason reason, bool by_upstream) override;
  void OnHttpDone(buffer::CloseReason) override { Finish(); }
  void OnTimeout();
  void Refuse(int status, buffer::CloseReason reason, const std::string& sentence);
  void BreakOff(buffer::CloseReason reason, absl::string_view policy, const std::string& sentence);
  void Finish();

  enum class State : uint8_t { kConnecting, kSniffing, kOpen, kHttp, kFinished };

  const net::Address client_;
  const net::Address destination_;
  const std::shared_ptr<const spiffe::PeerSvid> peer_;
  std::unique_ptr<http::h2::TunnelStream> stream_;
  std::unique_ptr<net::Connection> application_;
  filter::TcpProxy proxy_;
  std::unique_ptr<InboundHttp> http_;
  event::Timer timer_;       // connecting, sniffing, then the end of trust in the peer
  buffer::Buffer seen_;      // from the caller, before it is known what it speaks
  buffer::Buffer greeting_;  // from the application, the same
  stats::Cell* closed_cell_ = nullptr;
  State state_ = State::kConnecting;
  bool seen_end_ = false;
  bool greeting_end_ = false;
};

}  // namespace countersign::pipeline

#endif  // COUNTERSIGN_PROXY_PIPELINE_INBOUND_TUNNEL_H_
