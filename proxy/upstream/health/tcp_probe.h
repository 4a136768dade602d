// Tries once whether an endpoint can be connected to.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_HEALTH_TCP_PROBE_H_
#define COUNTERSIGN_PROXY_UPSTREAM_HEALTH_TCP_PROBE_H_

#include <memory>
#include <string>

#include "proxy/buffer/byte_stream.h"
#include "proxy/config/cluster.h"
#include "proxy/net/connection.h"
#include "proxy/tls/tls_transport_socket.h"
#include "proxy/upstream/hbone_pool.h"
#include "proxy/upstream/pool/pool_shared.h"

namespace countersign::upstream {

// Connects as the endpoint's traffic does: TCP, mesh TLS, or a stream in a tunnel, whose far end
// answers only once the application has taken the connection. On its worker's thread; dies through
// DeferredDelete.
class TcpProbe final : public event::Deferred,
                       private buffer::ByteStream::Handler,
                       private HbonePool::Request {
 public:
  class Owner {
   public:
    virtual void OnProbed(bool connected, const std::string& explanation) = 0;

   protected:
    ~Owner() = default;
  };

  TcpProbe(PoolShared& shared, Owner& owner, const config::Endpoint& endpoint,
           std::chrono::milliseconds timeout);
  ~TcpProbe() override;
  // May call the owner.
  void Connect();
  // The owner hears nothing more.
  void Cancel();

 private:
  void OnStreamReady(std::unique_ptr<http::h2::TunnelStream> stream,
                     TunnelConnection& tunnel) override;
  void OnStreamFailed(buffer::CloseReason reason, const std::string& explanation) override;
  void OnOpen(buffer::ByteStream& stream) override;
  void OnData(buffer::ByteStream&, buffer::Buffer& data, bool) override;
  void OnWritable(buffer::ByteStream&) override {}
  void OnClosed(buffer::ByteStream&, buffer::CloseReason reason) override;
  void Done(bool connected, const std::string& explanation);

  PoolShared& shared_;
  Owner* owner_;
  const config::Endpoint endpoint_;
  const std::chrono::milliseconds timeout_;
  std::unique_ptr<buffer::ByteStream> stream_;
  tls::TlsTransportSocket* tls_ = nullptr;
};

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_HEALTH_TCP_PROBE_H_
