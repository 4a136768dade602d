#include "proxy/buffer/close_reason.h"

namespace countersign::buffer {
namespace {

struct Names {
  const char* label;
  const char* flag;
  const char* sentence;
};

// In the order of the enumeration. Flags: Envoy's access log, "Response flags".
constexpr Names kNames[kCloseReasonCount] = {
    {"none", "-", "it is open"},
    {"finished", "-", "both sides ended it in order"},
    {"peer_reset", "UR", "the peer reset it"},
    {"local_reset", "LR", "this proxy reset it"},
    {"connect_refused", "UF", "nobody listens at that address and port"},
    {"connect_timeout", "UF", "no answer came in time; check the address and the network policy"},
    {"unreachable", "UF", "the network has no route to that address"},
    {"no_resources", "UO", "this proxy is out of file descriptors or local ports"},
    {"handshake_timeout", "UF", "the TLS handshake did not finish in time"},
    {"tls_handshake", "UF", "the TLS handshake failed"},
    {"tls_alert", "UF", "the peer refused this proxy with a TLS alert"},
    {"tls_truncated", "UC", "the peer ended the connection without close_notify"},
    {"tls_protocol", "UPE", "the peer sent a malformed or forged TLS record"},
    {"tunnel_protocol", "UPE", "the peer broke the HTTP/2 protocol of the tunnel"},
    {"tunnel_refused", "UF", "the peer's sidecar refused the tunnel"},
    {"tunnel_lost", "UC", "the connection that carried the tunnel ended"},
    {"denied", "UAEX", "the peer's identity was revoked"},
    {"expired", "UAEX", "the peer's certificate expired"},
    {"policy_refused", "UAEX", "policy forbids it"},
    {"no_endpoint", "UH", "the destination has no endpoint that is ready"},
    {"unknown_destination", "NR", "the destination is not in the mesh"},
    {"hold_timeout", "UT", "identity or configuration did not arrive in time"},
    {"overload", "UO", "a limit of this proxy was reached"},
    {"upstream_overflow", "UO", "a circuit breaker of the destination is open"},
    {"idle_timeout", "SI", "nothing moved on it for too long"},
    {"loop", "LR", "it would lead back to this proxy"},
    {"drain", "-", "this proxy is shutting down"},
};

}  // namespace

const char* CloseReasonLabel(CloseReason reason) { return kNames[static_cast<int>(reason)].label; }
const char* CloseReasonFlag(CloseReason reason) { return kNames[static_cast<int>(reason)].flag; }
const char* CloseReasonSentence(CloseReason reason) {
  return kNames[static_cast<int>(reason)].sentence;
}

}  // namespace countersign::buffer
