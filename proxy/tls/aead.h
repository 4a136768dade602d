// The authenticated ciphers of TLS 1.3, fed piece by piece.
#ifndef COUNTERSIGN_PROXY_TLS_AEAD_H_
#define COUNTERSIGN_PROXY_TLS_AEAD_H_

#include <openssl/evp.h>

#include <cstddef>
#include <cstdint>
#include <memory>

namespace countersign::tls {

inline constexpr size_t kTagBytes = 16;
inline constexpr size_t kNonceBytes = 12;

enum class AeadAlgorithm : uint8_t { kAes128Gcm, kAes256Gcm, kChaCha20Poly1305 };

// One direction of one connection. AES-GCM runs in Intel's ipsec-mb where the processor is an x86
// one: it knows VAES and AVX-512, for which OpenSSL 3.0 has no code, and is 3.7 times as fast with
// full records and 5 times with small ones (`bazel run //proxy/tls:aead_benchmark`). Everything
// else is OpenSSL's.
class Aead {
 public:
  Aead();
  Aead(const Aead&) = delete;
  Aead& operator=(const Aead&) = delete;
  ~Aead();

  // `key`: 16 bytes for kAes128Gcm, else 32. `accelerated`: false forces OpenSSL, for tests. False
  // when the cipher is not to be had.
  bool Init(AeadAlgorithm algorithm, const uint8_t* key, bool seal, bool accelerated = true);

  // A message: Begin, any number of Updates (in place is fine), and one of the Finishes.
  bool Begin(const uint8_t nonce[kNonceBytes], const uint8_t* aad, size_t aad_bytes);
  bool Update(uint8_t* out, const uint8_t* in, size_t n);
  bool FinishSeal(uint8_t tag[kTagBytes]);
  // False: the message is forged. Compares in constant time.
  bool FinishOpen(const uint8_t tag[kTagBytes]);

  bool accelerated() const { return fast_ != nullptr; }

 private:
  struct Fast;
  struct FastFree {
    void operator()(Fast* fast) const;
  };
  struct CtxFree {
    void operator()(EVP_CIPHER_CTX* ctx) const { EVP_CIPHER_CTX_free(ctx); }
  };
  std::unique_ptr<Fast, FastFree> fast_;
  std::unique_ptr<EVP_CIPHER_CTX, CtxFree> ctx_;
  bool seal_ = false;
};

}  // namespace countersign::tls

#endif  // COUNTERSIGN_PROXY_TLS_AEAD_H_
