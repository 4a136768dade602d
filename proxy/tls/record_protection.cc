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
  AeadAlgorithm algorithm;
  const EVP_MD* digest;
  size_t key_bytes;
  size_t hash_bytes;
};

// RFC 8446, appendix B.4.
const Suite* SuiteOf(uint16_t number) {
  static const Suite suites[3] = {
      {AeadAlgorithm::kAes128Gcm, EVP_sha256(), 16, 32},
      {AeadAlgorithm::kAes256Gcm, EVP_sha384(), 32, 48},
      {AeadAlgorithm::kChaCha20Poly1305, EVP_sha256(), 32, 32},
  };
  return number < 0x1301 || number > 0x1303 ? nullptr : &suites[number - 0x1301];
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
  return DeriveKeys();
}

bool RecordProtection::DeriveKeys() {
  const Suite& suite = *SuiteOf(suite_);
  uint8_t key[32];
  const bool ok = ExpandLabel(suite, secret_.data(), "key", key, suite.key_bytes) &&
                  ExpandLabel(suite, secret_.data(), "iv", iv_.data(), iv_.size()) &&
                  aead_.Init(suite.algorithm, key, seal_);
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
  std::array<uint8_t, kNonceBytes> nonce = iv_;
  for (int i = 0; i < 8; ++i) nonce[11 - i] ^= static_cast<uint8_t>(sequence_ >> (8 * i));
  ++sequence_;
  const uint8_t aad[kRecordHeader] = {23, 3, 3, static_cast<uint8_t>(body >> 8),
                                      static_cast<uint8_t>(body)};
  return aead_.Begin(nonce.data(), aad, sizeof aad);
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
  size_t left = n;
  for (Slice* slice = from.front(); left > 0; slice = slice->next) {
    const size_t part = std::min<size_t>(left, slice->size());
    if (!aead_.Update(at, slice->data(), part)) return false;
    at += part;
    left -= part;
  }
  const uint8_t inner_type = static_cast<uint8_t>(type);
  if (!aead_.Update(at, &inner_type, 1)) return false;
  ++at;
  if (!aead_.FinishSeal(at)) return false;
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
  for (Slice* slice = record.front(); slice != nullptr; slice = slice->next) {
    if (!aead_.Update(slice->data(), slice->data(), slice->size())) return false;
  }
  if (!aead_.FinishOpen(tag)) return false;
  // The content type is the last byte that is not zero: RFC 8446, section 5.4.
  uint8_t found = 0;
  while (found == 0 && !record.empty()) {
    // Nobody pads here, so it is the very last in all but strange cases.
    Slice* last = record.back();
    found = last->data()[last->size() - 1];
    record.TrimTail(1);
  }
  if (found == 0) return false;
  *type = static_cast<ContentType>(found);
  return record.size() <= kMaxPlaintext;
}

}  // namespace countersign::tls
