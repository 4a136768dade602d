#include "control/ca/csr.h"

#include <gtest/gtest.h>

#include "control/ca/testing/test_csr.h"

namespace countersign::control::ca {
namespace {

using countersign::identity::Refused;
using countersign::identity::v1::Refusal;
using testing::CsrOptions;
using testing::MakeCsr;

const spiffe::SpiffeId& Web() {
  static const auto* const id =
      new spiffe::SpiffeId(*spiffe::SpiffeId::Parse("spiffe://cluster.local/ns/shop/sa/web"));
  return *id;
}

// REASON_UNSPECIFIED when the request is taken.
Refusal::Reason ReasonFor(absl::string_view der) {
  const auto result = CheckCsr(der, Web());
  const auto* refused = std::get_if<Refused>(&result);
  if (refused == nullptr) return Refusal::REASON_UNSPECIFIED;
  EXPECT_FALSE(refused->message.empty());
  return refused->reason;
}
Refusal::Reason ReasonFor(const CsrOptions& options) { return ReasonFor(MakeCsr(options).der); }

CsrOptions WithExtension(const std::string& name, const std::string& value) {
  CsrOptions options;
  options.extensions = {{name, value}};
  return options;
}

// Appends to the content of the outermost SEQUENCE (two octets of length, as all of ours have).
std::string WithLength(std::string der, int delta) {
  EXPECT_EQ(static_cast<uint8_t>(der[1]), 0x81) << "a request of this test has 128 to 255 bytes";
  der[2] = static_cast<char>(der[2] + delta);
  return der;
}

TEST(CsrTest, APlainRequestIsTakenAndYieldsItsKey) {
  const auto csr = MakeCsr();
  const auto result = CheckCsr(csr.der, Web());
  ASSERT_TRUE(std::holds_alternative<Csr>(result));
  const Csr& parsed = std::get<Csr>(result);
  unsigned char* der = nullptr;
  const int length = i2d_PUBKEY(csr.key.get(), &der);
  EXPECT_EQ(parsed.public_key_info,
            absl::string_view(reinterpret_cast<char*>(der), static_cast<size_t>(length)));
  OPENSSL_free(der);
  EXPECT_EQ(parsed.curve, Curve::kP256);
}

TEST(CsrTest, P384AndLongerHashesAreTaken) {
  CsrOptions options;
  options.key = "P-384";
  options.sha = 384;
  EXPECT_EQ(ReasonFor(options), Refusal::REASON_UNSPECIFIED);
  options.key = "P-256";
  options.sha = 512;
  EXPECT_EQ(ReasonFor(options), Refusal::REASON_UNSPECIFIED);
}

TEST(CsrTest, TheAttestedNameAndALeafsUsagesMayBeAskedFor) {
  CsrOptions options;
  options.common_name = "whatever";
  options.extensions = {{"subjectAltName", "URI:" + Web().ToString()},
                        {"basicConstraints", "critical,CA:FALSE"},
                        {"keyUsage", "critical,digitalSignature"},
                        {"extendedKeyUsage", "serverAuth,clientAuth"}};
  EXPECT_EQ(ReasonFor(options), Refusal::REASON_UNSPECIFIED);
}

TEST(CsrTest, ABadSignatureIsRefused) {
  std::string der = MakeCsr().der;
  der.back() = static_cast<char>(der.back() ^ 1);
  EXPECT_EQ(ReasonFor(der), Refusal::CSR_BAD_SIGNATURE);
}

TEST(CsrTest, ASignatureOfAnotherKeyIsRefused) {
  const auto victim = MakeCsr();
  const auto thief = MakeCsr();
  std::string der = thief.der;
  unsigned char* info = nullptr;
  const int length = i2d_PUBKEY(thief.key.get(), &info);
  const std::string thief_key(reinterpret_cast<char*>(info), static_cast<size_t>(length));
  OPENSSL_free(info);
  info = nullptr;
  i2d_PUBKEY(victim.key.get(), &info);
  const std::string victim_key(reinterpret_cast<char*>(info), static_cast<size_t>(length));
  OPENSSL_free(info);
  der.replace(der.find(thief_key), thief_key.size(), victim_key);
  EXPECT_EQ(ReasonFor(der), Refusal::CSR_BAD_SIGNATURE);
}

TEST(CsrTest, APointThatIsNotOnTheCurveIsRefused) {
  std::string der = MakeCsr().der;
  // The last byte of the public point, before the attributes.
  const auto result = CheckCsr(der, Web());
  const absl::string_view point = std::get<Csr>(result).point;
  der[static_cast<size_t>(point.data() - der.data()) + 64] ^= 1;
  EXPECT_EQ(ReasonFor(der), Refusal::CSR_BAD_SIGNATURE);
}

TEST(CsrTest, AForeignSanIsRefused) {
  EXPECT_EQ(ReasonFor(WithExtension("subjectAltName", "URI:spiffe://cluster.local/ns/shop/sa/db")),
            Refusal::CSR_FORBIDDEN_SAN);
  EXPECT_EQ(ReasonFor(WithExtension("subjectAltName", "DNS:web.shop.svc")),
            Refusal::CSR_FORBIDDEN_SAN);
  EXPECT_EQ(ReasonFor(WithExtension("subjectAltName", "IP:10.0.0.1")), Refusal::CSR_FORBIDDEN_SAN);
}

TEST(CsrTest, ADoubleSanIsRefused) {
  const std::string uri = "URI:" + Web().ToString();
  EXPECT_EQ(ReasonFor(WithExtension("subjectAltName", uri + "," + uri)),
            Refusal::CSR_FORBIDDEN_SAN);
  CsrOptions twice;
  twice.extensions = {{"subjectAltName", uri}, {"subjectAltName", uri}};
  EXPECT_EQ(ReasonFor(twice), Refusal::CSR_FORBIDDEN_SAN);
}

TEST(CsrTest, ACaCertificateIsRefused) {
  EXPECT_EQ(ReasonFor(WithExtension("basicConstraints", "CA:TRUE")),
            Refusal::CSR_FORBIDDEN_EXTENSION);
  EXPECT_EQ(ReasonFor(WithExtension("basicConstraints", "critical,CA:TRUE,pathlen:0")),
            Refusal::CSR_FORBIDDEN_EXTENSION);
}

TEST(CsrTest, ForbiddenUsagesAndExtensionsAreRefused) {
  EXPECT_EQ(ReasonFor(WithExtension("keyUsage", "digitalSignature,keyCertSign")),
            Refusal::CSR_FORBIDDEN_EXTENSION);
  EXPECT_EQ(ReasonFor(WithExtension("keyUsage", "decipherOnly")), Refusal::CSR_FORBIDDEN_EXTENSION);
  EXPECT_EQ(ReasonFor(WithExtension("extendedKeyUsage", "codeSigning")),
            Refusal::CSR_FORBIDDEN_EXTENSION);
  EXPECT_EQ(ReasonFor(WithExtension("nsComment", "hello")), Refusal::CSR_FORBIDDEN_EXTENSION);
  CsrOptions password;
  password.challenge_password = true;
  EXPECT_EQ(ReasonFor(password), Refusal::CSR_FORBIDDEN_EXTENSION);
}

TEST(CsrTest, WeakAndUnknownKeysAreRefused) {
  for (const char* key : {"RSA", "Ed25519", "P-521", "P-224", "secp256k1"}) {
    CsrOptions options;
    options.key = key;
    EXPECT_EQ(ReasonFor(options), Refusal::CSR_WEAK_KEY) << key;
  }
}

TEST(CsrTest, AMegabyteIsRefusedForItsSize) {
  EXPECT_EQ(ReasonFor(std::string(1 << 20, '\x30')), Refusal::CSR_TOO_LARGE);
  EXPECT_EQ(ReasonFor(std::string(kMaxCsrBytes + 1, '\x30')), Refusal::CSR_TOO_LARGE);
}

TEST(CsrTest, TrailingBytesAreRefused) {
  EXPECT_EQ(ReasonFor(MakeCsr().der + "x"), Refusal::CSR_MALFORMED);
  EXPECT_EQ(ReasonFor(WithLength(MakeCsr().der + std::string("\x05\x00", 2), 2)),
            Refusal::CSR_MALFORMED);
}

TEST(CsrTest, EveryTruncationIsRefused) {
  const std::string der = MakeCsr().der;
  for (size_t size = 0; size < der.size(); ++size) {
    EXPECT_EQ(ReasonFor(der.substr(0, size)), Refusal::CSR_MALFORMED) << size;
  }
}

TEST(CsrTest, NoSingleFlippedBitPasses) {
  const std::string der = MakeCsr().der;
  for (size_t i = 0; i < der.size() * 8; ++i) {
    std::string changed = der;
    changed[i / 8] = static_cast<char>(changed[i / 8] ^ (1 << (i % 8)));
    EXPECT_NE(ReasonFor(changed), Refusal::REASON_UNSPECIFIED) << "bit " << i;
  }
}

TEST(CsrTest, GarbageIsRefused) {
  EXPECT_EQ(ReasonFor("-----BEGIN CERTIFICATE REQUEST-----"), Refusal::CSR_MALFORMED);
  // The indefinite length of BER.
  EXPECT_EQ(ReasonFor(std::string("\x30\x80\x00\x00", 4)), Refusal::CSR_MALFORMED);
  // A length that would overflow.
  EXPECT_EQ(ReasonFor("\x30\x84\xff\xff\xff\xff"), Refusal::CSR_MALFORMED);
}

}  // namespace
}  // namespace countersign::control::ca
