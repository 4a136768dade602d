#ifndef COUNTERSIGN_PROXY_IDENTITY_SECRET_STORE_H_
#define COUNTERSIGN_PROXY_IDENTITY_SECRET_STORE_H_

#include <memory>
#include <vector>

#include "proxy/identity/secret_snapshot.h"

namespace countersign::identity {

// The secret in force, and everybody who wants to hear of the next. Thread: main. Lifetime: the
// process's; sinks outlive it.
class SecretStore {
 public:
  // Null until the first certificate.
  const std::shared_ptr<const SecretSnapshot>& Current() const { return current_; }

  // A sink that comes late gets the present secret at once.
  void AddSink(SecretSink& sink);
  void Publish(std::shared_ptr<const SecretSnapshot> secret);

 private:
  std::shared_ptr<const SecretSnapshot> current_;
  std::vector<SecretSink*> sinks_;
};

}  // namespace countersign::identity

#endif  // COUNTERSIGN_PROXY_IDENTITY_SECRET_STORE_H_
