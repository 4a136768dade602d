// A proxy's handshake with itself.
#ifndef COUNTERSIGN_PROXY_TLS_HANDSHAKE_REHEARSAL_H_
#define COUNTERSIGN_PROXY_TLS_HANDSHAKE_REHEARSAL_H_

#include <memory>

#include "absl/status/status.h"
#include "proxy/event/clock.h"
#include "proxy/identity/secret_snapshot.h"

namespace countersign::tls {

// Shakes hands with itself in both roles and passes a byte each way, over a pair of sockets on the
// calling thread: about 2 ms of CPU. OK means that peers with the same bundles will accept this
// certificate. It also brings in all program text that a handshake needs, so that the first
// connection does not wait for it. Errors say which role failed, and why, in words.
absl::Status RehearseHandshake(const std::shared_ptr<const identity::SecretSnapshot>& secret,
                               const event::Clock& clock);

}  // namespace countersign::tls

#endif  // COUNTERSIGN_PROXY_TLS_HANDSHAKE_REHEARSAL_H_
