#ifndef COUNTERSIGN_CONTROL_ADS_ADS_SERVER_H_
#define COUNTERSIGN_CONTROL_ADS_ADS_SERVER_H_

#include <functional>
#include <memory>

#include "api/spiffe/trust.h"
#include "control/registry/model.h"

namespace grpc {
class Service;
}
namespace prometheus {
class Registry;
}

namespace countersign::control::ads {

// The configuration streams: incremental ADS over mTLS. A peer proves an SVID, claims a workload of
// that identity, and from then on gets that workload's configuration and no other's. A stream ends
// when the peer's certificate expires, is denied, or when its workload is gone.
//
// Lifetime: outlives the gRPC server that serves it; call Shutdown before that server's.
// Threads: everything may be called from any thread; gRPC calls it from its own.
class AdsServer {
 public:
  // What peers are verified with at this moment. Thread-safe; never null members.
  struct Trust {
    std::shared_ptr<const spiffe::BundleSet> bundles;
    std::shared_ptr<const spiffe::DenyList> deny_list;
  };
  using TrustSource = std::function<Trust()>;

  AdsServer(TrustSource trust, prometheus::Registry& metrics);
  ~AdsServer();

  // To be registered with the gRPC server; owned by this.
  grpc::Service* service();

  // A new Model is in force: what differs is pushed to those who subscribe to it.
  void OnModel(std::shared_ptr<const registry::Model> model);
  // The bundles or the deny list have changed: streams of peers that do not pass any more end.
  void OnTrustChanged();
  // Ends every stream and refuses new ones.
  void Shutdown();

 private:
  class Service;
  std::unique_ptr<Service> service_;
};

}  // namespace countersign::control::ads

#endif  // COUNTERSIGN_CONTROL_ADS_ADS_SERVER_H_
