// What a client's first bytes are: TLS of the mesh, other TLS, or no TLS at all.
#ifndef COUNTERSIGN_PROXY_LISTENER_CLIENT_HELLO_H_
#define COUNTERSIGN_PROXY_LISTENER_CLIENT_HELLO_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

namespace countersign::listener {

enum class Sniffed : uint8_t {
  kNeedMore,   // so far it may be a ClientHello
  kPlaintext,  // it is none
  kMeshTls,    // it offers one of the mesh's application protocols
  kOtherTls,   // it does not
};

// Bytes after which a ClientHello that is still not whole is taken for other TLS: what a sidecar
// sends is far shorter.
inline constexpr size_t kMaxClientHello = 16 * 1024;

// `bytes`: everything that the client has sent so far. Reads RFC 8446, sections 4.1.2 and 5.1: a
// handshake message in one or several records. Pure, never reads past its input, linear.
Sniffed SniffClientHello(absl::string_view bytes, absl::Span<const absl::string_view> mesh_alpns);
inline Sniffed SniffClientHello(absl::string_view bytes, absl::string_view mesh_alpn) {
  return SniffClientHello(bytes, absl::MakeConstSpan(&mesh_alpn, 1));
}

}  // namespace countersign::listener

#endif  // COUNTERSIGN_PROXY_LISTENER_CLIENT_HELLO_H_
