// Asks one host, again and again, whether it is well.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_HEALTH_HOST_CHECK_H_
#define COUNTERSIGN_PROXY_UPSTREAM_HEALTH_HOST_CHECK_H_

#include <memory>
#include <string>

#include "proxy/config/cluster.h"
#include "proxy/event/dispatcher.h"
#include "proxy/upstream/health/tcp_probe.h"
#include "proxy/upstream/host.h"
#include "proxy/upstream/pool/client_connection.h"
#include "proxy/upstream/pool/pool_shared.h"

namespace countersign::upstream {

// HTTP and gRPC checks travel as requests do (h1, h2c, mesh TLS, tunnel), on a connection of their
// own that is kept between checks. Thresholds as in Envoy: the first result decides at once, and so
// does an HTTP answer with a status that is not expected. On its worker's thread.
class HostCheck final : private ClientConnection::Owner,
                        private http::ClientStream::Handler,
                        private TcpProbe::Owner {
 public:
  class Owner {
   public:
    // `failed()` has changed; `sentence` says what the last check found.
    virtual void OnCheckChanged(Host& host, const std::string& sentence) = 0;
    virtual void OnChecked(Host& host, bool passed) = 0;

   protected:
    ~Owner() = default;
  };

  // `config` outlives it; `http2`: what the endpoint's requests speak.
  HostCheck(PoolShared& shared, Owner& owner, Host& host, const config::Cluster& cluster,
            const config::HealthCheck& config, bool http2);
  ~HostCheck();

  bool failed() const { return failed_; }

 private:
  void Begin();
  void Ask();
  void OnTimeout();
  void Done(bool passed, bool decisive, std::string sentence);
  void DropConnection();
  void JudgeAnswer();

  // ClientConnection::Owner
  void OnConnectionReady(ClientConnection& connection) override;
  void OnConnectionChanged(ClientConnection&) override {}
  void OnConnectionClosed(ClientConnection& connection, buffer::CloseReason reason,
                          const std::string& explanation) override;
  // http::ClientStream::Handler
  void OnInformational(http::ResponseHead&) override {}
  void OnHeaders(http::ResponseHead& head, bool end) override;
  void OnData(buffer::Buffer& data, bool end) override;
  void OnTrailers(http::HeaderMap& trailers) override;
  void OnWritable() override {}
  void OnEnd(http::StreamEnd end) override;
  // TcpProbe::Owner
  void OnProbed(bool connected, const std::string& explanation) override;

  PoolShared& shared_;
  Owner& owner_;
  Host& host_;
  const config::HealthCheck config_;
  const std::string authority_;
  const std::chrono::milliseconds connect_timeout_;
  const http::Protocol protocol_;
  event::Timer next_;
  event::Timer timeout_;
  std::unique_ptr<ClientConnection> connection_;
  std::unique_ptr<TcpProbe> probe_;
  http::ClientStream* stream_ = nullptr;
  uint16_t status_ = 0;
  std::string body_;         // kGrpc: the answer's first bytes
  std::string grpc_status_;  // kGrpc
  uint32_t passes_ = 0;
  uint32_t failures_ = 0;
  bool asking_ = false;
  bool decided_ = false;  // there was a result
  bool failed_ = false;
};

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_HEALTH_HOST_CHECK_H_
