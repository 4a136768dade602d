#include "proxy/tls/aead.h"

#include <cstring>
#include <random>
#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace countersign::tls {
namespace {

constexpr uint8_t kNonce[kNonceBytes] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
constexpr uint8_t kAad[5] = {23, 3, 3, 1, 0};

// Seals `text` in pieces of at most `piece` bytes, tag at the end.
std::string Seal(Aead& aead, const std::string& text, size_t piece) {
  std::string out(text.size() + kTagBytes, '\0');
  uint8_t* to = reinterpret_cast<uint8_t*>(out.data());
  EXPECT_TRUE(aead.Begin(kNonce, kAad, sizeof kAad));
  for (size_t at = 0; at < text.size(); at += piece) {
    const size_t n = std::min(piece, text.size() - at);
    EXPECT_TRUE(aead.Update(to + at, reinterpret_cast<const uint8_t*>(text.data()) + at, n));
  }
  EXPECT_TRUE(aead.FinishSeal(to + text.size()));
  return out;
}

// In place, in pieces; empty when it is forged.
std::string Open(Aead& aead, std::string sealed, size_t piece) {
  uint8_t* bytes = reinterpret_cast<uint8_t*>(sealed.data());
  const size_t size = sealed.size() - kTagBytes;
  EXPECT_TRUE(aead.Begin(kNonce, kAad, sizeof kAad));
  for (size_t at = 0; at < size; at += piece) {
    EXPECT_TRUE(aead.Update(bytes + at, bytes + at, std::min(piece, size - at)));
  }
  if (!aead.FinishOpen(bytes + size)) return "";
  return sealed.substr(0, size);
}

class AeadTest : public ::testing::TestWithParam<AeadAlgorithm> {};

// OpenSSL is the oracle: whatever the accelerated code seals, OpenSSL seals alike, in any split.
TEST_P(AeadTest, AcceleratedAgreesWithOpenSslInAnySplit) {
  uint8_t key[32];
  std::minstd_rand random(11);
  for (uint8_t& byte : key) byte = static_cast<uint8_t>(random());
  Aead fast_seal, fast_open, plain_seal, plain_open;
  ASSERT_TRUE(fast_seal.Init(GetParam(), key, true));
  ASSERT_TRUE(fast_open.Init(GetParam(), key, false));
  ASSERT_TRUE(plain_seal.Init(GetParam(), key, true, /*accelerated=*/false));
  ASSERT_TRUE(plain_open.Init(GetParam(), key, false, /*accelerated=*/false));
  EXPECT_FALSE(plain_seal.accelerated());
  for (const size_t size : {1, 15, 16, 17, 100, 255, 256, 1000, 4096, 16384, 16385}) {
    std::string text(size, '\0');
    for (char& c : text) c = static_cast<char>(random());
    for (const size_t piece : {size_t{1}, size_t{7}, size_t{16}, size_t{1000}, size}) {
      if (size / piece > 5000) continue;
      const std::string sealed = Seal(fast_seal, text, piece);
      ASSERT_EQ(sealed, Seal(plain_seal, text, size)) << size << " in pieces of " << piece;
      ASSERT_EQ(Open(fast_open, sealed, piece), text) << size << " in pieces of " << piece;
      ASSERT_EQ(Open(plain_open, sealed, piece), text);
    }
  }
}

TEST_P(AeadTest, AnyFlippedBitIsForgery) {
  const uint8_t key[32] = {9};
  Aead seal, open;
  ASSERT_TRUE(seal.Init(GetParam(), key, true));
  ASSERT_TRUE(open.Init(GetParam(), key, false));
  const std::string sealed = Seal(seal, std::string(40, 'x'), 40);
  for (size_t bit = 0; bit < sealed.size() * 8; ++bit) {
    std::string forged = sealed;
    forged[bit / 8] = static_cast<char>(forged[bit / 8] ^ (1 << (bit % 8)));
    ASSERT_EQ(Open(open, forged, 40), "") << bit;
  }
  EXPECT_EQ(Open(open, sealed, 40), std::string(40, 'x'));
}

INSTANTIATE_TEST_SUITE_P(All, AeadTest,
                         ::testing::Values(AeadAlgorithm::kAes128Gcm, AeadAlgorithm::kAes256Gcm,
                                           AeadAlgorithm::kChaCha20Poly1305));

}  // namespace
}  // namespace countersign::tls
