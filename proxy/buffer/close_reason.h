// Why a connection or a stream ended: the vocabulary of the data path's errors.
#ifndef COUNTERSIGN_PROXY_BUFFER_CLOSE_REASON_H_
#define COUNTERSIGN_PROXY_BUFFER_CLOSE_REASON_H_

#include <cstdint>

namespace countersign::buffer {

enum class CloseReason : uint8_t {
  kNone,
  kFinished,            // both directions ended in order
  kPeerReset,           // RST, RST_STREAM
  kLocalReset,          // by our own side, for a reason that stands elsewhere
  kConnectRefused,      // nobody listens there
  kConnectTimeout,      // no answer in time
  kUnreachable,         // no route, or the network is down
  kNoResources,         // out of descriptors or ports
  kHandshakeTimeout,    // TLS did not finish in time
  kTlsHandshake,        // TLS failed; the transport socket knows more
  kTlsAlert,            // the peer sent a fatal alert
  kTlsTruncated,        // FIN without close_notify: RFC 8446, section 6.1
  kTlsProtocol,         // a record that cannot be
  kTunnelProtocol,      // HTTP/2 error
  kTunnelRefused,       // CONNECT was answered with an error
  kTunnelLost,          // the connection that carried the stream ended
  kDenied,              // the peer's identity was revoked
  kExpired,             // the peer's certificate ended in mid-connection
  kPolicyRefused,       // policy forbids it
  kNoEndpoint,          // the destination has none that is ready
  kUnknownDestination,  // not in the mesh, and policy allows no other
  kHoldTimeout,         // identity or configuration did not come in time
  kOverload,            // a limit of ours
  kUpstreamOverflow,    // a circuit breaker of the destination is open
  kIdleTimeout,         // nothing moved for too long
  kLoop,                // would come back to ourselves
  kDrain,               // we are shutting down
};
inline constexpr int kCloseReasonCount = static_cast<int>(CloseReason::kDrain) + 1;

// The metric label: snake case.
const char* CloseReasonLabel(CloseReason reason);
// The response flag of Envoy's names that dashboards know; `-` for a clean end.
const char* CloseReasonFlag(CloseReason reason);
// For the log: what happened, as the end of "the connection was closed: ...".
const char* CloseReasonSentence(CloseReason reason);

}  // namespace countersign::buffer

#endif  // COUNTERSIGN_PROXY_BUFFER_CLOSE_REASON_H_
