// Which proxy a peer may act for.
#ifndef COUNTERSIGN_CONTROL_ADS_AUTHORIZATION_H_
#define COUNTERSIGN_CONTROL_ADS_AUTHORIZATION_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "absl/time/time.h"
#include "api/spiffe/trust.h"
#include "api/spiffe/verifier.h"
#include "control/registry/model.h"

namespace countersign::control::ads {

// The SVID of a peer from its certificate and the chain below it, both PEM. Unauthenticated, with a
// sentence, for whatever the SPIFFE verifier refuses.
absl::StatusOr<spiffe::PeerSvid> VerifyPeer(absl::string_view leaf_pem, absl::string_view chain_pem,
                                            const spiffe::BundleSet& bundles,
                                            const spiffe::DenyList& deny_list, absl::Time now);

// The workload (`namespace/name`) whose configuration `identity` gets when it says that it is
// `node_id`. An empty node_id means the one workload of this identity. PermissionDenied says no
// more of other namespaces' workloads than that they are not the peer's.
absl::StatusOr<std::string> AuthorizeNode(const registry::Model& model, const std::string& node_id,
                                          const spiffe::SpiffeId& identity);

}  // namespace countersign::control::ads

#endif  // COUNTERSIGN_CONTROL_ADS_AUTHORIZATION_H_
