// PKCS#10 certification requests (RFC 2986) as proxies send them: taken apart and checked before
// anything of OpenSSL's own parsers sees them.
#ifndef COUNTERSIGN_CONTROL_CA_CSR_H_
#define COUNTERSIGN_CONTROL_CA_CSR_H_

#include <cstddef>

#include "absl/strings/string_view.h"
#include "api/identity/refusal.h"
#include "api/spiffe/spiffe_id.h"

namespace countersign::control::ca {

inline constexpr size_t kMaxCsrBytes = 8 * 1024;

enum class Curve { kP256, kP384 };

// Views into the request that was parsed; valid as long as its bytes are.
struct Csr {
  Curve curve = Curve::kP256;
  // SubjectPublicKeyInfo, DER.
  absl::string_view public_key_info;
  // The public key's uncompressed point, 0x04 first.
  absl::string_view point;
};

// Parses, checks the proof of possession, and holds the request against what `id` may have. All
// that is taken from the request is the public key: names and extensions in it can only lead to a
// refusal, never into the certificate. Any thread.
countersign::identity::OrRefused<Csr> CheckCsr(absl::string_view der, const spiffe::SpiffeId& id);

}  // namespace countersign::control::ca

#endif  // COUNTERSIGN_CONTROL_CA_CSR_H_
