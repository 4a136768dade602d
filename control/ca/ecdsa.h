// ECDSA over P-256 and P-384 from raw points, without the cost that OpenSSL 3.0's generic
// interfaces add to each key (decoder, provider export, algorithm fetch: more than the signature
// itself).
#ifndef COUNTERSIGN_CONTROL_CA_ECDSA_H_
#define COUNTERSIGN_CONTROL_CA_ECDSA_H_

#include <openssl/ec.h>
#include <openssl/evp.h>

#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "api/spiffe/openssl_ptr.h"
#include "control/ca/csr.h"

namespace countersign::control::ca {

enum class Hash { kSha256, kSha384, kSha512 };

using EcKeyPtr = std::unique_ptr<EC_KEY, spiffe::OpenSslDeleter<EC_KEY_free>>;

// Whether `point` lies on the curve and `signature` (DER) over `message` was made with its private
// key. Any thread.
bool VerifyEcdsa(Curve curve, absl::string_view point, Hash hash, absl::string_view message,
                 absl::string_view signature);

// ECDSA with SHA-256; DER, or empty when OpenSSL fails. Any thread.
std::string SignEcdsaSha256(EC_KEY* key, absl::string_view message);

// The EC key in `key`, as a key of its own; null if it is not one of P-256.
EcKeyPtr P256KeyOf(EVP_PKEY* key);

}  // namespace countersign::control::ca

#endif  // COUNTERSIGN_CONTROL_CA_ECDSA_H_
