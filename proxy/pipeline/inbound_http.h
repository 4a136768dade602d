// HTTP on its way to the proxy's own application.
#ifndef COUNTERSIGN_PROXY_PIPELINE_INBOUND_HTTP_H_
#define COUNTERSIGN_PROXY_PIPELINE_INBOUND_HTTP_H_

#include <memory>

#include "proxy/filter/http_connection_manager.h"
#include "proxy/pipeline/environment.h"

namespace countersign::pipeline {

// A connection manager and what it asks: the one route to the application, and where to count.
// Belongs to the connection's session, on its worker's thread.
class InboundHttp final : private filter::HttpConnectionManager::Owner {
 public:
  class Owner {
   public:
    virtual void OnHttpDone(buffer::CloseReason reason) = 0;

   protected:
    ~Owner() = default;
  };

  // `peer`: who has proved itself; null for plaintext. `tunnelled`: what came through a tunnel is
  // as the peer's application has sent it.
  InboundHttp(Environment& env, Owner& owner, const net::Address& client,
              const net::Address& application, std::shared_ptr<const spiffe::PeerSvid> peer,
              bool tunnelled = false);
  InboundHttp(const InboundHttp&) = delete;
  InboundHttp& operator=(const InboundHttp&) = delete;
  ~InboundHttp();

  filter::HttpConnectionManager& manager() { return manager_; }
  const filter::HttpConnectionManager& manager() const { return manager_; }

 private:
  filter::HttpRoutes& http_routes() override;
  const config::HttpOptions& http_options() const override { return env_.config()->http; }
  stats::RequestCells& CellsOf(const router::RequestInfo&) override { return *cells_; }
  void OnHttpRefused(absl::string_view reason, absl::string_view sentence) override;
  void OnHttpOverload(absl::string_view limit, absl::string_view sentence) override;
  void OnHttpDone(buffer::CloseReason reason) override { owner_.OnHttpDone(reason); }

  Environment& env_;
  Owner& owner_;
  const net::Address client_;
  const net::Address application_;
  uint64_t config_generation_ = 0;        // that routes_ is of
  filter::HttpRoutes* routes_ = nullptr;  // counted
  std::unique_ptr<stats::RequestCells> cells_;
  filter::HttpConnectionManager manager_;
};

}  // namespace countersign::pipeline

#endif  // COUNTERSIGN_PROXY_PIPELINE_INBOUND_HTTP_H_
