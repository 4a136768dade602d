// The heads of requests and responses, in one form for HTTP/1 and HTTP/2.
#ifndef COUNTERSIGN_PROXY_HTTP_MESSAGE_H_
#define COUNTERSIGN_PROXY_HTTP_MESSAGE_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "proxy/http/header_map.h"

namespace countersign::http {

enum class Protocol : uint8_t { kHttp10, kHttp11, kHttp2 };
// `HTTP/1.1`.
absl::string_view ProtocolName(Protocol protocol);

// Fields that belong to one connection alone (RFC 9110, section 7.6.1) are in neither: `connection`
// and what it lists, `keep-alive`, `proxy-connection`, `transfer-encoding`, `upgrade`, `te` other
// than `trailers`, `http2-settings`; nor is `host`, which is `authority`. Views lie in `headers`'
// memory (Store) or outlive it.
struct RequestHead {
  Protocol protocol = Protocol::kHttp11;  // that it arrived in; encoders ignore it
  absl::string_view method;
  absl::string_view scheme;     // `http` unless the message says otherwise
  absl::string_view authority;  // may be empty in HTTP/1.0
  absl::string_view path;       // with its query; empty for CONNECT
  // The protocol that an Upgrade asks for, such as `websocket`; then `method` is GET. In HTTP/2 an
  // extended CONNECT (RFC 8441). After the response with status 101 both directions are opaque
  // bytes. `h2c` never appears here: it is stripped.
  absl::string_view upgrade;
  HeaderMap headers;

  bool is_connect() const { return method == "CONNECT" && upgrade.empty(); }
  bool is_head() const { return method == "HEAD"; }
  bool opens_tunnel() const { return is_connect() || !upgrade.empty(); }
  void Clear();
  // Deep: what `other` borrows is copied.
  void CopyFrom(const RequestHead& other);
};

// The word for programs for a codec's refusal of a message with `status` (0: HTTP/2's, by a reset):
// `x-countersign-reason` of its answer, and a label of metrics.
absl::string_view RefusalReason(uint16_t status);
// And the response flag of such an answer: the client broke the protocol.
inline constexpr absl::string_view kRefusalFlag = "DPE";

struct ResponseHead {
  Protocol protocol = Protocol::kHttp11;
  // 101: the upgrade was accepted, in either protocol. A 2xx to CONNECT opens the tunnel.
  uint16_t status = 0;
  HeaderMap headers;

  void Clear();
  void CopyFrom(const ResponseHead& other);
};

}  // namespace countersign::http

#endif  // COUNTERSIGN_PROXY_HTTP_MESSAGE_H_
