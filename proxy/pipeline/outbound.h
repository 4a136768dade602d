// The application's connections on their way out.
#ifndef COUNTERSIGN_PROXY_PIPELINE_OUTBOUND_H_
#define COUNTERSIGN_PROXY_PIPELINE_OUTBOUND_H_

#include <memory>
#include <string>
#include <vector>

#include "proxy/filter/tcp_proxy.h"
#include "proxy/net/connection.h"
#include "proxy/pipeline/environment.h"
#include "proxy/pipeline/outbound_http.h"
#include "proxy/pipeline/session.h"

namespace countersign::pipeline {

// A connection that was captured on its way to another place. `forward`: where it shall go, for
// listeners without netfilter; null: the kernel knows.
void AcceptOutbound(Environment& env, net::Socket socket, const net::Address& client,
                    const net::Address* forward);

class OutboundConnection final : public Session,
                                 private Held,
                                 private buffer::ByteStream::Handler,
                                 private upstream::DestinationTable::Waiter,
                                 private upstream::HbonePool::Request,
                                 private filter::TcpProxy::Owner,
                                 private OutboundHttp::Owner {
 public:
  OutboundConnection(Environment& env, net::Socket socket, const net::Address& client,
                     const net::Address& destination);
  ~OutboundConnection() override;

  void Start();

  bool inbound() const override { return false; }
  void Describe(ConnectionInfo* info) const override;
  void Reevaluate() override;
  bool CloseIfIdle() override;
  bool logs_requests() const override { return http_ != nullptr; }

 private:
  // The stages, in order.
  void Resolve();
  void Route(upstream::DestinationTable::Entry& entry);
  void Sniff(const config::Destination& destination);
  void Decide();
  void ServeHttp(http::Protocol protocol);
  void GoOnAsTcp();
  void ConnectToHost(upstream::DestinationTable::Entry& entry);
  void ConnectDirectly(const net::Address& address, std::unique_ptr<net::TransportSocket> transport,
                       std::chrono::milliseconds timeout);
  void OnConnectFailed(buffer::CloseReason reason, const std::string& explanation);
  void OnUpstreamReady(const upstream::TcpCells& cells);
  void Splice();

  void SetReading(bool on);
  void OnSniffTimer();
  void ConnectAhead(bool may_wait);
  void DropUpstream();
  void LeaveUpstream();

  void HoldForNow();
  void StopHolding();
  void Refuse(buffer::CloseReason reason, const std::string& sentence);
  void OnTimeout();
  void Finish();
  std::string Where() const;
  // Of the upstream.
  std::string Explain(buffer::CloseReason reason) const;

  // Held
  void OnEnvironmentChanged() override;
  // DestinationTable::Waiter
  void OnDestinationKnown() override;
  // HbonePool::Request
  void OnStreamReady(std::unique_ptr<http::h2::TunnelStream> stream,
                     upstream::TunnelConnection& tunnel) override;
  void OnStreamFailed(buffer::CloseReason reason, const std::string& explanation) override;
  // ByteStream::Handler, of both streams until they are spliced
  void OnOpen(buffer::ByteStream& stream) override;
  void OnData(buffer::ByteStream&, buffer::Buffer& data, bool) override;
  void OnWritable(buffer::ByteStream&) override {}
  void OnClosed(buffer::ByteStream& stream, buffer::CloseReason reason) override;
  // TcpProxy::Owner
  void OnProxyDone(buffer::CloseReason reason, bool by_upstream) override;
  // OutboundHttp::Owner
  void OnHttpDone(buffer::CloseReason) override { Finish(); }

  // Of the connection to the endpoint, which may go ahead of the client's first bytes.
  enum class State : uint8_t { kHeld, kSniffing, kConnecting, kReady, kOpen, kHttp, kFinished };

  const net::Address client_;
  const net::Address destination_;
  net::Connection downstream_;
  std::unique_ptr<buffer::ByteStream> upstream_;
  filter::TcpProxy proxy_;
  std::unique_ptr<OutboundHttp> http_;
  event::Timer timer_;              // holding, connecting; open: the end of trust in the peer
  event::Timer sniff_timer_;        // the client's silence, then its half a line
  buffer::Buffer seen_;             // from the client, before it is known what it speaks
  buffer::Buffer greeting_;         // from the upstream, the same
  upstream::Host* host_ = nullptr;  // held: counted as a connection
  std::vector<const upstream::Host*> tried_;
  net::Connection* direct_ = nullptr;         // upstream_, if it is one
  tls::TlsTransportSocket* tls_ = nullptr;    // direct_'s
  http::h2::TunnelStream* stream_ = nullptr;  // upstream_, if it is one
  std::shared_ptr<const spiffe::PeerSvid> peer_;
  upstream::TcpCells cells_;  // once the upstream is there
  stats::Cell* closed_cell_ = nullptr;
  State state_ = State::kHeld;
  bool http_for_sure_ = false;  // by configuration
  bool tcp_ = false;            // decided
  bool reading_ = false;
  bool seen_end_ = false;
  bool greeting_end_ = false;
  bool held_ = false;
  bool reported_peer_ = false;
};

}  // namespace countersign::pipeline

#endif  // COUNTERSIGN_PROXY_PIPELINE_OUTBOUND_H_
