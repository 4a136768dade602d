#include "proxy/listener/client_hello.h"

#include <openssl/ssl.h>

#include <string>

#include "gtest/gtest.h"

namespace countersign::listener {
namespace {

constexpr char kMesh[] = "countersign";

// A real client's first flight.
std::string ClientHello(const std::string& alpn_wire, int max_version = 0) {
  SSL_CTX* ctx = SSL_CTX_new(TLS_client_method());
  if (max_version != 0) SSL_CTX_set_max_proto_version(ctx, max_version);
  SSL* ssl = SSL_new(ctx);
  BIO* out = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
  if (!alpn_wire.empty()) {
    SSL_set_alpn_protos(ssl, reinterpret_cast<const unsigned char*>(alpn_wire.data()),
                        static_cast<unsigned>(alpn_wire.size()));
  }
  SSL_connect(ssl);
  char* data = nullptr;
  const long n = BIO_get_mem_data(out, &data);
  std::string hello(data, static_cast<size_t>(n));
  SSL_free(ssl);
  SSL_CTX_free(ctx);
  return hello;
}

// The same message in records of `size` bytes.
std::string Fragment(const std::string& hello, size_t size) {
  const std::string body = hello.substr(5);
  std::string out;
  for (size_t at = 0; at < body.size(); at += size) {
    const std::string part = body.substr(at, size);
    out += hello.substr(0, 3);
    out += static_cast<char>(part.size() >> 8);
    out += static_cast<char>(part.size() & 255);
    out += part;
  }
  return out;
}

TEST(ClientHelloTest, TellsMeshTlsFromOtherTls) {
  EXPECT_EQ(SniffClientHello(ClientHello("\x0b"
                                         "countersign"),
                             kMesh),
            Sniffed::kMeshTls);
  EXPECT_EQ(SniffClientHello(ClientHello("\x02h2\x0b"
                                         "countersign"),
                             kMesh),
            Sniffed::kMeshTls);
  EXPECT_EQ(SniffClientHello(ClientHello("\x02h2\x08http/1.1"), kMesh), Sniffed::kOtherTls);
  EXPECT_EQ(SniffClientHello(ClientHello(""), kMesh), Sniffed::kOtherTls);
  EXPECT_EQ(SniffClientHello(ClientHello("", TLS1_2_VERSION), kMesh), Sniffed::kOtherTls);
}

TEST(ClientHelloTest, NeedsEveryByteOfIt) {
  const std::string hello = ClientHello(
      "\x0b"
      "countersign");
  for (size_t n = 0; n < hello.size(); ++n) {
    EXPECT_EQ(SniffClientHello(hello.substr(0, n), kMesh), Sniffed::kNeedMore) << n;
  }
  EXPECT_EQ(SniffClientHello(hello + "more", kMesh), Sniffed::kMeshTls);
}

TEST(ClientHelloTest, FragmentsAreJoined) {
  const std::string hello = ClientHello(
      "\x0b"
      "countersign");
  for (const size_t size : {1, 3, 7, 64, 200}) {
    const std::string parts = Fragment(hello, size);
    EXPECT_EQ(SniffClientHello(parts, kMesh), Sniffed::kMeshTls) << size;
    EXPECT_EQ(SniffClientHello(parts.substr(0, parts.size() - 1), kMesh), Sniffed::kNeedMore);
  }
}

TEST(ClientHelloTest, PlaintextIsKnownByItsFirstBytes) {
  EXPECT_EQ(SniffClientHello("G", kMesh), Sniffed::kPlaintext);
  EXPECT_EQ(SniffClientHello("\x16\x02", kMesh), Sniffed::kPlaintext);
  EXPECT_EQ(SniffClientHello(absl::string_view("\x16\x03\x01\x00\x00", 5), kMesh),
            Sniffed::kPlaintext);
  EXPECT_EQ(SniffClientHello(absl::string_view("\x16\x03\x01\x00\x05\x02", 6), kMesh),
            Sniffed::kPlaintext);
}

TEST(ClientHelloTest, OversizedHelloIsOtherTls) {
  EXPECT_EQ(SniffClientHello(absl::string_view("\x16\x03\x01\x00\x04\x01\xff\xff\xff", 9), kMesh),
            Sniffed::kOtherTls);
}

TEST(ClientHelloTest, LyingLengthsAreOtherTls) {
  std::string hello = ClientHello(
      "\x0b"
      "countersign");
  const size_t at = hello.find("countersign");
  ASSERT_NE(at, std::string::npos);
  hello[at - 1] = '\x7f';  // longer than its list
  EXPECT_EQ(SniffClientHello(hello, kMesh), Sniffed::kOtherTls);
}

}  // namespace
}  // namespace countersign::listener
