// The standalone control plane's own root authority, in the state folder.
#ifndef COUNTERSIGN_CONTROL_CA_OWN_ROOT_H_
#define COUNTERSIGN_CONTROL_CA_OWN_ROOT_H_

#include <memory>
#include <string>
#include <vector>

#include "control/ca/signer.h"

namespace countersign::control::ca {

// Keeps `root.pem` and `root-key.pem` in the folder `ca`. The key is read only while an
// intermediate is being signed, and is in memory no longer than that. Main thread.
class OwnRoot : public Signer {
 public:
  struct Options {
    std::string state_dir;
    std::string trust_domain;
    absl::Duration ttl;
    absl::Time now;
  };

  // Makes the root on first start: in a folder of another name that is renamed when it is complete,
  // so that no crash leaves half a root. Refuses a root of another trust domain, an incomplete
  // folder, and files that others may read; it never replaces a root that it cannot use.
  static absl::StatusOr<std::unique_ptr<OwnRoot>> Open(const Options& options);

  absl::StatusOr<std::vector<std::string>> SignIntermediate(EVP_PKEY* key, absl::Time not_before,
                                                            absl::Time not_after) override;
  absl::StatusOr<std::vector<std::string>> Roots() override { return {{root_der_}}; }

 private:
  OwnRoot(const Options& options, std::string root_der)
      : dir_(options.state_dir + "/ca"),
        trust_domain_(options.trust_domain),
        root_der_(std::move(root_der)) {}

  const std::string dir_;
  const std::string trust_domain_;
  const std::string root_der_;
};

}  // namespace countersign::control::ca

#endif  // COUNTERSIGN_CONTROL_CA_OWN_ROOT_H_
