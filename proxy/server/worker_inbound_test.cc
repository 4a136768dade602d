// The server's sidecar and callers that come to the application's own port.
#include <openssl/ssl.h>

#include <string>

#include "gtest/gtest.h"
#include "proxy/server/worker.h"
#include "proxy/server/worker_fixture.h"

namespace countersign::server {
namespace {

const std::string kReset = "<" + std::to_string(ECONNRESET) + ">";

TEST(WorkerInboundTest, PermissiveLetsPlaintextThroughAndCountsTheCaller) {
  Application application(Echo);
  Pair pair(application.address());
  pair.Ready(MtlsMode::kPermissive);
  const int fd = pair.ConnectCaptured();
  ASSERT_TRUE(WriteAll(fd, "plain"));
  EXPECT_EQ(ReadAll(fd, 5), "plain");
  shutdown(fd, SHUT_WR);
  EXPECT_EQ(ReadAll(fd), "");
  close(fd);
  EXPECT_TRUE(Eventually([&] { return pair.ServerStats(); },
                         "countersign_plaintext_callers_total{source=\"127.0.0.1\",port=\"" +
                             std::to_string(application.address().port()) + "\"} 1"));
}

TEST(WorkerInboundTest, PermissiveLetsTheServerSpeakFirst) {
  Application application([](int fd) {
    WriteAll(fd, "220 ready\r\n");
    Echo(fd);
  });
  Pair pair(application.address());
  pair.Ready(MtlsMode::kPermissive);
  const int fd = pair.ConnectCaptured();
  EXPECT_EQ(ReadAll(fd, 11), "220 ready\r\n");
  ASSERT_TRUE(WriteAll(fd, "EHLO"));
  EXPECT_EQ(ReadAll(fd, 4), "EHLO");
  close(fd);
}

TEST(WorkerInboundTest, MeshTlsOnTheOriginalPortIsTerminated) {
  for (const MtlsMode mode : {MtlsMode::kPermissive, MtlsMode::kStrict}) {
    Application application(Echo);
    Pair pair(application.address());
    // The client's sidecar speaks TLS to the captured port, not to the tunnel.
    pair.discovery().Set(application.address(), Hbone(pair.captured(), net::Address()));
    pair.Ready(mode);
    const int fd = pair.Connect();
    ASSERT_TRUE(WriteAll(fd, "secret"));
    EXPECT_EQ(ReadAll(fd, 6), "secret");
    shutdown(fd, SHUT_WR);
    EXPECT_EQ(ReadAll(fd), "");
    close(fd);
    EXPECT_TRUE(Eventually([&] { return pair.ServerStats(); },
                           "countersign_tcp_connections_closed_total{reporter=\"destination\""));
    EXPECT_NE(pair.ServerStats().find(kClientId), std::string::npos);
    EXPECT_EQ(pair.ServerStats().find("countersign_plaintext_callers_total{"), std::string::npos);
  }
}

TEST(WorkerInboundTest, AGreetingWaitsForMeshTls) {
  Application application([](int fd) {
    WriteAll(fd, "220 ready\r\n");
    Echo(fd);
  });
  Pair pair(application.address());
  pair.discovery().Set(application.address(), Hbone(pair.captured(), net::Address()));
  pair.Ready(MtlsMode::kPermissive);
  const int fd = pair.Connect();
  EXPECT_EQ(ReadAll(fd, 11), "220 ready\r\n");
  ASSERT_TRUE(WriteAll(fd, "EHLO"));
  EXPECT_EQ(ReadAll(fd, 4), "EHLO");
  close(fd);
}

TEST(WorkerInboundTest, BulkOverMeshTlsArrivesUnchanged) {
  Application application(Echo);
  Pair pair(application.address());
  pair.discovery().Set(application.address(), Hbone(pair.captured(), net::Address()));
  pair.Ready(MtlsMode::kStrict);
  const int fd = pair.Connect();
  std::string data(32 << 20, 0);
  for (size_t i = 0; i < data.size(); ++i) data[i] = static_cast<char>(i * 7 + i / 251);
  std::thread writer([&] {
    EXPECT_TRUE(WriteAll(fd, data));
    shutdown(fd, SHUT_WR);
  });
  const std::string back = ReadAll(fd);
  writer.join();
  EXPECT_TRUE(back == data) << back.size();
  close(fd);
}

TEST(WorkerInboundTest, StrictRefusesPlaintextWithAReason) {
  std::atomic<int> accepted{0};
  Application application([&](int fd) {
    ++accepted;
    Echo(fd);
  });
  Pair pair(application.address());
  pair.Ready(MtlsMode::kStrict);
  const int fd = pair.ConnectCaptured();
  ASSERT_TRUE(WriteAll(fd, "plain"));
  EXPECT_EQ(ReadAll(fd), kReset);
  close(fd);
  EXPECT_TRUE(Eventually(
      [&] { return pair.ServerStats(); },
      "countersign_inbound_refused_total{reason=\"policy_refused\",source=\"127.0.0.1\",port=\"" +
          std::to_string(application.address().port()) + "\",policy=\"default/test\"} 1"));
  EXPECT_EQ(accepted, 0);
}

TEST(WorkerInboundTest, StrictRefusesTheSilentInTime) {
  Application application(Echo);
  Pair pair(application.address());
  pair.Ready(MtlsMode::kStrict);
  const int fd = pair.ConnectCaptured();
  EXPECT_EQ(ReadAll(fd), kReset);
  close(fd);
}

TEST(WorkerInboundTest, StrictTellsAProbeFromAClientThatWaitsForTheServer) {
  Application application(Echo);
  Pair pair(application.address());
  pair.Ready(MtlsMode::kStrict);
  const int probe = pair.ConnectCaptured();
  shutdown(probe, SHUT_WR);
  EXPECT_EQ(ReadAll(probe), "");
  close(probe);
  EXPECT_EQ(pair.ServerStats().find("countersign_inbound_refused_total{"), std::string::npos);
  const int patient = pair.ConnectCaptured();
  absl::SleepFor(absl::Milliseconds(1100));
  shutdown(patient, SHUT_WR);
  EXPECT_EQ(ReadAll(patient), kReset);
  close(patient);
  EXPECT_NE(pair.ServerStats().find("countersign_inbound_refused_total{reason=\"policy_refused\""),
            std::string::npos);
}

TEST(WorkerInboundTest, DisableLetsEverythingThroughUncounted) {
  Application application(Echo);
  Pair pair(application.address());
  pair.Ready(MtlsMode::kDisable);
  const int fd = pair.ConnectCaptured();
  ASSERT_TRUE(WriteAll(fd, "\x16\x03\x01"));
  EXPECT_EQ(ReadAll(fd, 3), "\x16\x03\x01");
  close(fd);
  EXPECT_EQ(pair.ServerStats().find("countersign_plaintext_callers_total{"), std::string::npos);
}

TEST(WorkerInboundTest, OpenPlaintextEndsWhenPolicyBecomesStrict) {
  Application application(Echo);
  Pair pair(application.address());
  pair.Ready(MtlsMode::kPermissive);
  const int fd = pair.ConnectCaptured();
  ASSERT_TRUE(WriteAll(fd, "plain"));
  EXPECT_EQ(ReadAll(fd, 5), "plain");
  pair.server().OnProxyConfig(ConfigOf(MtlsMode::kStrict));
  EXPECT_EQ(ReadAll(fd), kReset);
  close(fd);
}

// The first flight of a client that is not of the mesh.
std::string OtherClientHello() {
  SSL_CTX* ctx = SSL_CTX_new(TLS_client_method());
  SSL* ssl = SSL_new(ctx);
  BIO* out = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl, BIO_new(BIO_s_mem()), out);
  SSL_connect(ssl);
  char* data = nullptr;
  const long n = BIO_get_mem_data(out, &data);
  std::string hello(data, static_cast<size_t>(n));
  SSL_free(ssl);
  SSL_CTX_free(ctx);
  return hello;
}

TEST(WorkerInboundTest, OtherTlsGoesThroughUntouchedUnderPermissive) {
  Application application(Echo);
  Pair pair(application.address());
  pair.Ready(MtlsMode::kPermissive);
  const std::string hello = OtherClientHello();
  const int fd = pair.ConnectCaptured();
  ASSERT_TRUE(WriteAll(fd, hello.substr(0, 20)));
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  ASSERT_TRUE(WriteAll(fd, hello.substr(20)));
  EXPECT_EQ(ReadAll(fd, hello.size()), hello);
  close(fd);
  pair.Configure(MtlsMode::kStrict);
  const int refused = pair.ConnectCaptured();
  WriteAll(refused, hello);
  EXPECT_EQ(ReadAll(refused), kReset);
  close(refused);
}

TEST(WorkerInboundTest, GarbageAfterAMeshClientHelloIsAHandshakeFailure) {
  Application application(Echo);
  Pair pair(application.address());
  pair.Ready(MtlsMode::kStrict);
  // A handshake record whose ClientHello offers the mesh's protocol, and nothing that TLS needs.
  const std::string alpn = std::string("\x00\x10\x00\x0e\x00\x0c\x0b", 7) + "countersign";
  std::string body = std::string("\x03\x03", 2) + std::string(32, 'r') +
                     std::string("\x00\x00\x02\x13\x01\x01\x00", 7) + '\0' +
                     static_cast<char>(alpn.size()) + alpn;
  std::string message = std::string("\x01\x00\x00", 3) + static_cast<char>(body.size()) + body;
  std::string record =
      std::string("\x16\x03\x01\x00", 4) + static_cast<char>(message.size()) + message;
  const int fd = pair.ConnectCaptured();
  ASSERT_TRUE(WriteAll(fd, record));
  const std::string answer = ReadAll(fd);
  EXPECT_EQ(answer.substr(0, 1), "\x15");  // an alert
  close(fd);
  EXPECT_TRUE(Eventually([&] { return pair.ServerStats(); },
                         "countersign_tls_handshake_failures_total{role=\"server\""));
}

}  // namespace
}  // namespace countersign::server
