#include "control/ca/ecdsa.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/obj_mac.h>
#include <openssl/sha.h>

namespace countersign::control::ca {
namespace {

// The low-level hash calls below are deprecated in OpenSSL 3.0, whose replacements fetch the
// algorithm by name under a lock each time.
size_t Digest(Hash hash, absl::string_view message, unsigned char* out) {
  switch (hash) {
    case Hash::kSha256: {
      SHA256_CTX context;
      SHA256_Init(&context);
      SHA256_Update(&context, message.data(), message.size());
      SHA256_Final(out, &context);
      return SHA256_DIGEST_LENGTH;
    }
    case Hash::kSha384: {
      SHA512_CTX context;
      SHA384_Init(&context);
      SHA384_Update(&context, message.data(), message.size());
      SHA384_Final(out, &context);
      return SHA384_DIGEST_LENGTH;
    }
    case Hash::kSha512: {
      SHA512_CTX context;
      SHA512_Init(&context);
      SHA512_Update(&context, message.data(), message.size());
      SHA512_Final(out, &context);
      return SHA512_DIGEST_LENGTH;
    }
  }
  return 0;
}

// A key object of this thread, whose point is replaced for each check: making an EC_GROUP costs
// more than verifying a P-256 signature.
EC_KEY* ScratchKey(Curve curve) {
  thread_local const EcKeyPtr p256(EC_KEY_new_by_curve_name(NID_X9_62_prime256v1));
  thread_local const EcKeyPtr p384(EC_KEY_new_by_curve_name(NID_secp384r1));
  return curve == Curve::kP256 ? p256.get() : p384.get();
}

}  // namespace

bool VerifyEcdsa(Curve curve, absl::string_view point, Hash hash, absl::string_view message,
                 absl::string_view signature) {
  EC_KEY* key = ScratchKey(curve);
  if (key == nullptr) return false;
  // Refuses points that are not on the curve, and infinity.
  if (EC_KEY_oct2key(key, reinterpret_cast<const unsigned char*>(point.data()), point.size(),
                     nullptr) != 1) {
    ERR_clear_error();
    return false;
  }
  unsigned char digest[SHA512_DIGEST_LENGTH];
  const size_t length = Digest(hash, message, digest);
  const int result = ECDSA_verify(0, digest, static_cast<int>(length),
                                  reinterpret_cast<const unsigned char*>(signature.data()),
                                  static_cast<int>(signature.size()), key);
  if (result != 1) ERR_clear_error();
  return result == 1;
}

std::string SignEcdsaSha256(EC_KEY* key, absl::string_view message) {
  unsigned char digest[SHA256_DIGEST_LENGTH];
  Digest(Hash::kSha256, message, digest);
  unsigned char signature[80];  // P-256: at most 72
  unsigned int length = 0;
  if (ECDSA_size(key) > static_cast<int>(sizeof(signature)) ||
      ECDSA_sign(0, digest, sizeof(digest), signature, &length, key) != 1) {
    ERR_clear_error();
    return {};
  }
  return std::string(reinterpret_cast<const char*>(signature), length);
}

EcKeyPtr P256KeyOf(EVP_PKEY* key) {
  const EC_KEY* borrowed = EVP_PKEY_get0_EC_KEY(key);
  if (borrowed == nullptr ||
      EC_GROUP_get_curve_name(EC_KEY_get0_group(borrowed)) != NID_X9_62_prime256v1) {
    ERR_clear_error();
    return nullptr;
  }
  return EcKeyPtr(EC_KEY_dup(borrowed));
}

}  // namespace countersign::control::ca
