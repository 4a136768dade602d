// The control plane's own SVID, with which its gRPC server authenticates.
#ifndef COUNTERSIGN_CONTROL_SERVER_SERVING_CERTIFICATE_H_
#define COUNTERSIGN_CONTROL_SERVER_SERVING_CERTIFICATE_H_

#include <memory>
#include <mutex>
#include <string>

#include "absl/status/status.h"
#include "absl/time/time.h"
#include "control/ca/authority.h"

namespace countersign::control::server {

inline constexpr char kControlPath[] = "/countersign/control";
inline constexpr char kControlDnsName[] = "countersign-control";

// The key is made here at each renewal and never leaves the process. Getters: any thread. Renewal:
// one thread.
class ServingCertificate {
 public:
  ServingCertificate(const ca::Authority& authority, std::string trust_domain);

  struct KeyPair {
    std::string key_pem;
    std::string chain_pem;
    std::string roots_pem;
    absl::Time not_after;
    ~KeyPair();
  };
  // Null before the first Renew(). A new pointer with every renewal.
  std::shared_ptr<const KeyPair> current() const;

  // A new key and certificate, in force for handshakes from now on.
  absl::Status Renew();
  // Renews once half of its life is over.
  absl::Status RenewIfDue();

 private:
  const ca::Authority& authority_;
  const std::string trust_domain_;
  absl::Time renew_at_ = absl::InfinitePast();
  mutable std::mutex mutex_;
  std::shared_ptr<const KeyPair> current_;
};

}  // namespace countersign::control::server

#endif  // COUNTERSIGN_CONTROL_SERVER_SERVING_CERTIFICATE_H_
