// Connections to the application's own ports.
#ifndef COUNTERSIGN_PROXY_PIPELINE_INBOUND_H_
#define COUNTERSIGN_PROXY_PIPELINE_INBOUND_H_

#include <memory>
#include <string>

#include "proxy/filter/tcp_proxy.h"
#include "proxy/net/connection.h"
#include "proxy/pipeline/environment.h"
#include "proxy/pipeline/inbound_http.h"
#include "proxy/pipeline/session.h"

namespace countersign::pipeline {

// A connection that was captured on its way to our application. `forward`: the application's
// address, for listeners without netfilter; null: the kernel knows.
void AcceptInbound(Environment& env, net::Socket socket, const net::Address& client,
                   const net::Address* forward);

class InboundConnection final : public Session,
                                private Held,
                                private buffer::ByteStream::Handler,
                                private filter::TcpProxy::Owner,
                                private InboundHttp::Owner {
 public:
  InboundConnection(Environment& env, net::Socket socket, const net::Address& client,
                    const net::Address& application);

  void Start();

  bool inbound() const override { return true; }
  void Describe(ConnectionInfo* info) const override;
  void Reevaluate() override;
  void StartDrain() override;
  bool CloseIfIdle() override;
  bool logs_requests() const override { return http_ != nullptr; }

 private:
  // The stages, in order.
  void Sniff();
  void AwaitFirstBytes();
  void Decide();
  void DecidePlaintext(absl::string_view bytes);
  void Terminate();
  void LetThrough();
  void ServeHttp(http::Protocol protocol);
  void ConnectApplication();
  void Splice(const spiffe::PeerSvid* peer);

  // The peer has proved who it is.
  bool proven() const { return tls_ != nullptr && tls_->open(); }
  const config::PortPolicy& policy() const {
    return env_.config()->inbound.For(application_address_.port());
  }
  void RefuseByPolicy(absl::string_view what);
  void Refuse(buffer::CloseReason reason, const std::string& sentence);
  void OnTimeout();
  void OnSilence();
  void OnHalfABeginning();
  void DropApplication();
  void Finish();

  void OnEnvironmentChanged() override;
  void OnOpen(buffer::ByteStream& stream) override;
  void OnData(buffer::ByteStream& stream, buffer::Buffer& data, bool end) override;
  void OnWritable(buffer::ByteStream&) override {}
  void OnClosed(buffer::ByteStream& stream, buffer::CloseReason reason) override;
  void OnUpstreamOpen() override { connect_timer_.Cancel(); }
  void OnProxyDone(buffer::CloseReason reason, bool by_upstream) override;
  void OnHttpDone(buffer::CloseReason) override { Finish(); }

  enum class State : uint8_t { kHeld, kSniffing, kHandshaking, kOpen, kHttp, kFinished };

  const net::Address client_;
  const net::Address application_address_;
  net::Connection downstream_;
  std::unique_ptr<net::Connection> application_;
  filter::TcpProxy proxy_;
  std::unique_ptr<InboundHttp> http_;
  event::Timer timer_;          // holding, sniffing, handshake; then the end of trust in the peer
  event::Timer connect_timer_;  // to the application
  event::Timer silence_timer_;  // the client's, and then the grace for a greeting
  buffer::Buffer seen_;         // from the client, undecided
  buffer::Buffer greeting_;     // from the application, before the client has spoken
  tls::TlsTransportSocket* tls_ = nullptr;  // downstream_'s, once it is TLS of the mesh
  stats::Cell* closed_cell_ = nullptr;
  State state_ = State::kHeld;
  bool held_ = false;
  bool seen_end_ = false;
  bool greeting_end_ = false;
  bool greeting_stopped_ = false;
  bool reported_peer_ = false;
};

}  // namespace countersign::pipeline

#endif  // COUNTERSIGN_PROXY_PIPELINE_INBOUND_H_
