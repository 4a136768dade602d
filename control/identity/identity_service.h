// IdentityService over gRPC: one open stream a proxy.
#ifndef COUNTERSIGN_CONTROL_IDENTITY_IDENTITY_SERVICE_H_
#define COUNTERSIGN_CONTROL_IDENTITY_IDENTITY_SERVICE_H_

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "api/spiffe/trust_store.h"
#include "control/identity/svid_issuer.h"
#include "control/identity/work_queue.h"
#include "control/stats/identity_metrics.h"

namespace grpc {
class Service;
}  // namespace grpc

namespace countersign::control::identity {

// Thread-safe. Streams are driven by gRPC's threads, signing happens in the WorkQueue, and a ticker
// thread ends streams that never attest and spreads requests for renewal over time. Lives longer
// than the gRPC server that it is registered with; Shutdown() must have been called before that
// server is shut down, or its streams would keep it waiting.
class IdentityService {
 public:
  struct Options {
    SvidIssuer& issuer;
    spiffe::TrustStore& trust;
    stats::IdentityMetrics& metrics;
    // Beyond this, streams are refused with RESOURCE_EXHAUSTED.
    size_t max_streams = 100'000;
    // A stream that has not attested by then is ended.
    absl::Duration attestation_timeout = absl::Seconds(15);
    // Signing threads, and how much may wait for them.
    WorkQueueOptions work;
  };

  explicit IdentityService(const Options& options);
  ~IdentityService();

  // To register with a grpc::ServerBuilder. Borrowed.
  grpc::Service* grpc_service();

  // Asks every connected proxy for a new CSR, at moments spread evenly over `spread`.
  void AskForRenewal(const std::string& reason, absl::Duration spread);

  // Ends all streams and takes no more.
  void Shutdown();

 private:
  class Handler;
  class Stream;
  struct Asked;

  const std::unique_ptr<Handler> handler_;
};

}  // namespace countersign::control::identity

#endif  // COUNTERSIGN_CONTROL_IDENTITY_IDENTITY_SERVICE_H_
