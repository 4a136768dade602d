#include "proxy/tls/aead.h"

#include <openssl/crypto.h>

#include <cstdlib>
#include <new>

#if defined(__x86_64__)
#include <intel-ipsec-mb.h>
#endif

namespace countersign::tls {

#if defined(__x86_64__)

namespace {

// The table of functions for this processor; null if it lacks AES or carry-less multiplication.
// Used for its stateless functions only, so all threads share it.
IMB_MGR* Manager() {
  static IMB_MGR* const manager = []() -> IMB_MGR* {
    IMB_MGR* m = alloc_mb_mgr(0);
    if (m == nullptr) return nullptr;
    IMB_ARCH arch;
    init_mb_mgr_auto(m, &arch);
    constexpr uint64_t kNeeded = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ;
    if ((m->features & kNeeded) != kNeeded || arch == IMB_ARCH_NOAESNI) {
      free_mb_mgr(m);
      return nullptr;
    }
    return m;
  }();
  return manager;
}

}  // namespace

struct Aead::Fast {
  alignas(64) gcm_key_data key;
  gcm_context_data context;
  bool wide;  // 256-bit key
};

void Aead::FastFree::operator()(Fast* fast) const {
  OPENSSL_cleanse(fast, sizeof *fast);
  fast->~Fast();
  ::operator delete (fast, std::align_val_t{alignof(Fast)});
}

#else

struct Aead::Fast {};
void Aead::FastFree::operator()(Fast* fast) const { delete fast; }

#endif

namespace {

// Fetched once: an implicit fetch costs a lock and a look-up for each connection.
const EVP_CIPHER* CipherOf(AeadAlgorithm algorithm) {
  static const EVP_CIPHER* const ciphers[3] = {
      EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr),
      EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr),
      EVP_CIPHER_fetch(nullptr, "ChaCha20-Poly1305", nullptr),
  };
  return ciphers[static_cast<int>(algorithm)];
}

}  // namespace

Aead::Aead() = default;
Aead::~Aead() = default;

bool Aead::Init(AeadAlgorithm algorithm, const uint8_t* key, bool seal, bool accelerated) {
  seal_ = seal;
  fast_.reset();
#if defined(__x86_64__)
  if (accelerated && algorithm != AeadAlgorithm::kChaCha20Poly1305 && Manager() != nullptr) {
    fast_.reset(new (std::align_val_t{alignof(Fast)}) Fast);
    fast_->wide = algorithm == AeadAlgorithm::kAes256Gcm;
    if (fast_->wide) {
      IMB_AES256_GCM_PRE(Manager(), key, &fast_->key);
    } else {
      IMB_AES128_GCM_PRE(Manager(), key, &fast_->key);
    }
    ctx_.reset();
    return true;
  }
#endif
  const EVP_CIPHER* cipher = CipherOf(algorithm);
  if (ctx_ == nullptr) ctx_.reset(EVP_CIPHER_CTX_new());
  return cipher != nullptr && ctx_ != nullptr &&
         EVP_CipherInit_ex(ctx_.get(), cipher, nullptr, key, nullptr, seal ? 1 : 0) == 1;
}

bool Aead::Begin(const uint8_t nonce[kNonceBytes], const uint8_t* aad, size_t aad_bytes) {
#if defined(__x86_64__)
  if (fast_ != nullptr) {
    if (fast_->wide) {
      IMB_AES256_GCM_INIT(Manager(), &fast_->key, &fast_->context, nonce, aad, aad_bytes);
    } else {
      IMB_AES128_GCM_INIT(Manager(), &fast_->key, &fast_->context, nonce, aad, aad_bytes);
    }
    return true;
  }
#endif
  int length;
  return EVP_CipherInit_ex(ctx_.get(), nullptr, nullptr, nullptr, nonce, -1) == 1 &&
         EVP_CipherUpdate(ctx_.get(), nullptr, &length, aad, static_cast<int>(aad_bytes)) == 1;
}

bool Aead::Update(uint8_t* out, const uint8_t* in, size_t n) {
#if defined(__x86_64__)
  if (fast_ != nullptr) {
    IMB_MGR* const m = Manager();
    if (seal_) {
      if (fast_->wide) {
        IMB_AES256_GCM_ENC_UPDATE(m, &fast_->key, &fast_->context, out, in, n);
      } else {
        IMB_AES128_GCM_ENC_UPDATE(m, &fast_->key, &fast_->context, out, in, n);
      }
    } else if (fast_->wide) {
      IMB_AES256_GCM_DEC_UPDATE(m, &fast_->key, &fast_->context, out, in, n);
    } else {
      IMB_AES128_GCM_DEC_UPDATE(m, &fast_->key, &fast_->context, out, in, n);
    }
    return true;
  }
#endif
  int length;
  return EVP_CipherUpdate(ctx_.get(), out, &length, in, static_cast<int>(n)) == 1;
}

bool Aead::FinishSeal(uint8_t tag[kTagBytes]) {
#if defined(__x86_64__)
  if (fast_ != nullptr) {
    if (fast_->wide) {
      IMB_AES256_GCM_ENC_FINALIZE(Manager(), &fast_->key, &fast_->context, tag, kTagBytes);
    } else {
      IMB_AES128_GCM_ENC_FINALIZE(Manager(), &fast_->key, &fast_->context, tag, kTagBytes);
    }
    return true;
  }
#endif
  uint8_t none[kTagBytes];
  int length;
  return EVP_CipherFinal_ex(ctx_.get(), none, &length) == 1 &&
         EVP_CIPHER_CTX_ctrl(ctx_.get(), EVP_CTRL_AEAD_GET_TAG, kTagBytes, tag) == 1;
}

bool Aead::FinishOpen(const uint8_t tag[kTagBytes]) {
#if defined(__x86_64__)
  if (fast_ != nullptr) {
    uint8_t computed[kTagBytes];
    if (fast_->wide) {
      IMB_AES256_GCM_DEC_FINALIZE(Manager(), &fast_->key, &fast_->context, computed, kTagBytes);
    } else {
      IMB_AES128_GCM_DEC_FINALIZE(Manager(), &fast_->key, &fast_->context, computed, kTagBytes);
    }
    return CRYPTO_memcmp(computed, tag, kTagBytes) == 0;
  }
#endif
  uint8_t none[kTagBytes];
  int length;
  return EVP_CIPHER_CTX_ctrl(ctx_.get(), EVP_CTRL_AEAD_SET_TAG, kTagBytes,
                             const_cast<uint8_t*>(tag)) == 1 &&
         EVP_CipherFinal_ex(ctx_.get(), none, &length) == 1;
}

}  // namespace countersign::tls
