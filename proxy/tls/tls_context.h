// OpenSSL's context for one role and one secret snapshot.
#ifndef COUNTERSIGN_PROXY_TLS_TLS_CONTEXT_H_
#define COUNTERSIGN_PROXY_TLS_TLS_CONTEXT_H_

#include <cstdint>
#include <memory>
#include <utility>

#include "absl/status/statusor.h"
#include "api/spiffe/openssl_ptr.h"
#include "proxy/identity/secret_snapshot.h"

namespace countersign::tls {

enum class Role : uint8_t { kClient, kServer };

// TLS 1.3 only; both sides present certificates; no resumption, no early data, no renegotiation.
// (OpenSSL resumes without asking any verify callback, even after the trust bundle has dropped the
// peer's issuer. Pooled tunnels make handshakes rare, so resumption is off rather than guarded.)
// Made once per snapshot and worker, immutable, referenced by its connections until their
// handshakes end.
class TlsContext {
 public:
  // Errors: a snapshot without key or chain, or whose key is not the leaf's.
  static absl::StatusOr<std::shared_ptr<const TlsContext>> Create(
      Role role, std::shared_ptr<const identity::SecretSnapshot> secret);

  Role role() const { return role_; }
  const identity::SecretSnapshot& secret() const { return *secret_; }
  // A connection's TLS state, whose ex data at index SslIndex() is `owner`; null when out of
  // memory.
  spiffe::SslPtr NewSsl(void* owner) const;
  static int SslIndex();

 private:
  TlsContext(Role role, std::shared_ptr<const identity::SecretSnapshot> secret)
      : role_(role), secret_(std::move(secret)) {}

  const Role role_;
  const std::shared_ptr<const identity::SecretSnapshot> secret_;
  spiffe::SslCtxPtr ctx_;
};

}  // namespace countersign::tls

#endif  // COUNTERSIGN_PROXY_TLS_TLS_CONTEXT_H_
