// The application's HTTP on its way out.
#ifndef COUNTERSIGN_PROXY_PIPELINE_OUTBOUND_HTTP_H_
#define COUNTERSIGN_PROXY_PIPELINE_OUTBOUND_HTTP_H_

#include <memory>

#include "proxy/filter/http_connection_manager.h"
#include "proxy/pipeline/environment.h"

namespace countersign::pipeline {

// A connection manager and what it asks: the routes to the destination as they are now, and where
// to count. Belongs to the connection's session, on its worker's thread.
class OutboundHttp final : private filter::HttpConnectionManager::Owner {
 public:
  class Owner {
   public:
    virtual void OnHttpDone(buffer::CloseReason reason) = 0;

   protected:
    ~Owner() = default;
  };

  // `entry`: of `destination`, answered, and HTTP is spoken there.
  OutboundHttp(Environment& env, Owner& owner, const upstream::DestinationTable::Entry& entry,
               const net::Address& client, const net::Address& destination);
  OutboundHttp(const OutboundHttp&) = delete;
  OutboundHttp& operator=(const OutboundHttp&) = delete;
  ~OutboundHttp();

  filter::HttpConnectionManager& manager() { return manager_; }
  const filter::HttpConnectionManager& manager() const { return manager_; }

 private:
  filter::HttpRoutes& http_routes() override;
  const config::HttpOptions& http_options() const override { return answer_->http; }
  stats::RequestCells& CellsOf(const router::RequestInfo& info) override;
  void OnHttpRefused(absl::string_view reason, absl::string_view sentence) override;
  void OnHttpOverload(absl::string_view limit, absl::string_view sentence) override;
  void OnHttpDone(buffer::CloseReason reason) override { owner_.OnHttpDone(reason); }
  void LookAgain();

  Environment& env_;
  Owner& owner_;
  const net::Address client_;
  const net::Address destination_;
  std::shared_ptr<const config::Destination> answer_;  // of the control plane, to go by
  filter::HttpRoutes* routes_;                         // its; counted
  uint64_t generation_;
  event::Instant looked_at_;
  filter::HttpConnectionManager manager_;
};

}  // namespace countersign::pipeline

#endif  // COUNTERSIGN_PROXY_PIPELINE_OUTBOUND_HTTP_H_
