// The /certs page. Pure: from state to text.
#ifndef COUNTERSIGN_PROXY_ADMIN_CERTS_PAGE_H_
#define COUNTERSIGN_PROXY_ADMIN_CERTS_PAGE_H_

#include <string>

#include "absl/time/time.h"
#include "proxy/identity/secret_snapshot.h"

namespace countersign::admin {

// Our chain, every trust domain's authorities, the deny list's epoch. Never a key.
// `secret` may be null. `renew_at` may be InfiniteFuture.
std::string RenderCerts(const identity::SecretSnapshot* secret, absl::Time renew_at,
                        absl::Time now);

}  // namespace countersign::admin

#endif  // COUNTERSIGN_PROXY_ADMIN_CERTS_PAGE_H_
