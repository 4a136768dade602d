#include "proxy/tls/record_protection.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>

#include <algorithm>
#include <cstring>

namespace countersign::tls {
namespace {

using buffer::Block;
using buffer::BlockPool;
using buffer::Buffer;
using buffer::Slice;

struct Suite {
  const EVP_CIPHER* cipher;
  const EVP_MD* digest;
  size_t key_bytes;
  size_t hash_bytes;
};

// Fetched once: an implicit fetch costs a lock and a look-up for each connection.
const Suite* SuiteOf(uint16_t number) {
  static const Suite suites[3] = {
      {EVP_CIPHER_fetch(nullptr, "AES-128-GCM", nullptr), EVP_sha256(), 16, 32},
      {EVP_CIPHER_fetch(nullptr, "AES-256-GCM", nullptr), EVP_sha384(), 32, 48},
      {EVP_CIPHER_fetch(nullptr, "ChaCha20-Poly1305", nullptr), EVP_sha256(), 32, 32},
  };
  if (number < 0x1301 || number > 0x1303) return nullptr;
  const Suite* suite = &suites[number - 0x1301];
  return suite->cipher == nullptr ? nullptr : suite;
}

// HKDF-Expand-Label with an empty context, for outputs of at most one hash: RFC 8446, section 7.1.
bool ExpandLabel(const Suite& suite, const uint8_t* secret, absl::string_view label, uint8_t* out,
                 size_t n) {
  uint8_t info[64];
  size_t at = 0;
  info[at++] = static_cast<uint8_t>(n >> 8);
  info[at++] = static_cast<uint8_t>(n);
  info[at++] = static_cast<uint8_t>(6 + label.size());
  std::memcpy(info + at, "tls13 ", 6);
  at += 6;
  std::memcpy(info + at, label.data(), label.size());
  at += label.size();
  info[at++] = 0;  // context
  info[at++] = 1;  // HKDF-Expand's counter: RFC 5869, section 2.3
  uint8_t block[EVP_MAX_MD_SIZE];
  unsigned length = 0;
  if (HMAC(suite.digest, secret, static_cast<int>(suite.hash_bytes), info, at, block, &length) ==
          nullptr ||
      length < n) {
    return false;
  }
  std::memcpy(out, block, n);
  OPENSSL_cleanse(block, sizeof block);
  return true;
}

}  // namespace

RecordProtection::~RecordProtection() { OPENSSL_cleanse(secret_.data(), secret_.size()); }

bool RecordProtection::Init(uint16_t cipher_suite, absl::string_view secret, bool seal) {
  const Suite* suite = SuiteOf(cipher_suite);
  if (suite == nullptr || secret.size() != suite->hash_bytes) return false;
  suite_ = cipher_suite;
  seal_ = seal;
  secret_bytes_ = static_cast<uint8_t>(secret.size());
  std::memcpy(secret_.data(), secret.data(), secret.size());
  ctx_.reset(EVP_CIPHER_CTX_new());
  return ctx_ != nullptr && DeriveKeys();
}

bool RecordProtection::DeriveKeys() {
  const Suite& suite = *SuiteOf(suite_);
  uint8_t key[32];
  const bool ok = ExpandLabel(suite, secret_.data(), "key", key, suite.key_bytes) &&
                  ExpandLabel(suite, secret_.data(), "iv", iv_.data(), iv_.size()) &&
                  EVP_CipherInit_ex(ctx_.get(), suite.cipher, nullptr, key, nullptr, seal_) == 1;
  OPENSSL_cleanse(key, sizeof key);
  sequence_ = 0;
  return ok;
}

bool RecordProtection::Update() {
  const Suite& suite = *SuiteOf(suite_);
  std::array<uint8_t, 48> next;
  if (!ExpandLabel(suite, secret_.data(), "traffic upd", next.data(), suite.hash_bytes)) {
    return false;
  }
  secret_ = next;
  OPENSSL_cleanse(next.data(), next.size());
  return DeriveKeys();
}

// Nonce and additional data of the next record: RFC 8446, sections 5.2 and 5.3.
bool RecordProtection::BeginRecord(size_t body) {
  std::array<uint8_t, 12> nonce = iv_;
  for (int i = 0; i < 8; ++i) nonce[11 - i] ^= static_cast<uint8_t>(sequence_ >> (8 * i));
  ++sequence_;
  const uint8_t aad[kRecordHeader] = {23, 3, 3, static_cast<uint8_t>(body >> 8),
                                      static_cast<uint8_t>(body)};
  int length;
  return EVP_CipherInit_ex(ctx_.get(), nullptr, nullptr, nullptr, nonce.data(), -1) == 1 &&
         EVP_CipherUpdate(ctx_.get(), nullptr, &length, aad, sizeof aad) == 1;
}

bool RecordProtection::Seal(ContentType type, Buffer& from, size_t n, Buffer& out) {
  const size_t body = n + 1 + kTagBytes;
  const size_t total = kRecordHeader + body;
  Block* block = BlockPool::ForThisThread().Current(static_cast<uint32_t>(total));
  uint8_t* const start = block->bytes() + block->used;
  uint8_t* at = start;
  *at++ = 23;  // the outer type is always application data
  *at++ = 3;
  *at++ = 3;
  *at++ = static_cast<uint8_t>(body >> 8);
  *at++ = static_cast<uint8_t>(body);
  if (!BeginRecord(body)) return false;
  int length;
  size_t left = n;
  for (Slice* slice = from.front(); left > 0; slice = slice->next) {
    const size_t part = std::min<size_t>(left, slice->size());
    if (EVP_CipherUpdate(ctx_.get(), at, &length, slice->data(), static_cast<int>(part)) != 1) {
      return false;
    }
    at += part;
    left -= part;
  }
  const uint8_t inner_type = static_cast<uint8_t>(type);
  if (EVP_CipherUpdate(ctx_.get(), at, &length, &inner_type, 1) != 1) return false;
  ++at;
  if (EVP_CipherFinal_ex(ctx_.get(), at, &length) != 1 ||
      EVP_CIPHER_CTX_ctrl(ctx_.get(), EVP_CTRL_AEAD_GET_TAG, kTagBytes, at) != 1) {
    return false;
  }
  block->used += static_cast<uint32_t>(total);
  out.AppendRef(block, start, total);
  from.Drain(n);
  return true;
}

bool RecordProtection::Open(Buffer& record, size_t length, ContentType* type) {
  if (length < 1 + kTagBytes) return false;
  // The tag lies at the end, and may straddle slices.
  uint8_t tag[kTagBytes];
  size_t skip = length - kTagBytes;
  size_t got = 0;
  for (Slice* slice = record.front(); slice != nullptr; slice = slice->next) {
    if (skip >= slice->size()) {
      skip -= slice->size();
      continue;
    }
    const size_t part = std::min<size_t>(slice->size() - skip, kTagBytes - got);
    std::memcpy(tag + got, slice->data() + skip, part);
    got += part;
    skip = 0;
  }
  if (!BeginRecord(length)) return false;
  record.TrimTail(kTagBytes);
  int out;
  for (Slice* slice = record.front(); slice != nullptr; slice = slice->next) {
    if (EVP_CipherUpdate(ctx_.get(), slice->data(), &out, slice->data(),
                         static_cast<int>(slice->size())) != 1) {
      return false;
    }
  }
  uint8_t none[kTagBytes];
  if (EVP_CIPHER_CTX_ctrl(ctx_.get(), EVP_CTRL_AEAD_SET_TAG, kTagBytes, tag) != 1 ||
      EVP_CipherFinal_ex(ctx_.get(), none, &out) != 1) {
    return false;
  }
  // The content type is the last byte that is not zero: RFC 8446, section 5.4.
  size_t content = 0;
  size_t position = 0;
  uint8_t found = 0;
  for (Slice* slice = record.front(); slice != nullptr; slice = slice->next) {
    for (uint32_t i = slice->size(); i > 0; --i) {
      if (slice->data()[i - 1] != 0) {
        content = position + i - 1;
        found = slice->data()[i - 1];
        break;
      }
    }
    position += slice->size();
  }
  if (found == 0) return false;
  record.TrimTail(record.size() - content);
  *type = static_cast<ContentType>(found);
  return record.size() <= kMaxPlaintext;
}

}  // namespace countersign::tls
