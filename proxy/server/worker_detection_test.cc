// What a connection speaks is found out from its first bytes, whoever sends them.
#include <array>
#include <future>
#include <string>
#include <thread>

#include "gtest/gtest.h"
#include "proxy/http/testing/frames.h"
#include "proxy/server/worker_http_fixture.h"

namespace countersign::server {
namespace {

const std::string kGet = "GET /a HTTP/1.1\r\nHost: server\r\n\r\n";
constexpr char kOutboundHttp[] =
    "countersign_http_connections_total{direction=\"outbound\",protocol=\"HTTP/1.1\"} 1";

TEST(WorkerDetectionTest, ASilentClientHearsAServerThatSpeaksFirst) {
  Application application([](int fd) {
    WriteAll(fd, "220 ready\r\n");
    Echo(fd);
  });
  HttpPair pair(application.address());
  const int fd = pair.Connect();
  EXPECT_EQ(ReadAll(fd, 11), "220 ready\r\n");
  // What looks like HTTP now is for the server to judge.
  ASSERT_TRUE(WriteAll(fd, kGet));
  EXPECT_EQ(ReadAll(fd, kGet.size()), kGet);
  close(fd);
  EXPECT_EQ(pair.ClientStats().find("countersign_http_connections_total{"), std::string::npos);
}

TEST(WorkerDetectionTest, HttpTakesOverFromAClientThatWasSilent) {
  Application application(HttpServer(Mirror));
  HttpPair pair(application.address());
  const int fd = pair.Connect();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  ASSERT_TRUE(WriteAll(fd, kGet));
  HttpReader reader(fd);
  EXPECT_NE(reader.Read().body.find("x-forwarded-client-cert"), std::string::npos);
  EXPECT_NE(pair.ClientStats().find(kOutboundHttp), std::string::npos);
  close(fd);
}

TEST(WorkerDetectionTest, OtherProtocolsGoThroughUntouched) {
  Application application(Echo);
  HttpPair pair(application.address());
  for (const std::string& words : {std::string("SET key value\r\n"), std::string("GET key\r\n"),
                                   std::string("\x16\x03\x01\0", 4), std::string("x"),
                                   std::string("PRI * HTTP/2.0\r\n\r\nSN")}) {
    const int fd = pair.Connect();
    ASSERT_TRUE(WriteAll(fd, words));
    EXPECT_EQ(ReadAll(fd, words.size()), words);
    shutdown(fd, SHUT_WR);
    EXPECT_EQ(ReadAll(fd), "");
    close(fd);
  }
  EXPECT_EQ(pair.ClientStats().find("countersign_http_connections_total{"), std::string::npos);
}

TEST(WorkerDetectionTest, HalfARequestLineAndTheEndGoThroughUntouched) {
  Application application(Echo);
  HttpPair pair(application.address());
  const int fd = pair.Connect();
  ASSERT_TRUE(WriteAll(fd, "GET /a HT"));
  std::this_thread::sleep_for(std::chrono::milliseconds(20));
  shutdown(fd, SHUT_WR);
  EXPECT_EQ(ReadAll(fd), "GET /a HT");
  close(fd);
}

TEST(WorkerDetectionTest, ARequestLineThatComesByteByByteIsHttp) {
  Application application(HttpServer(Mirror));
  HttpPair pair(application.address());
  const int fd = pair.Connect();
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof one);
  for (const char c : kGet) {
    ASSERT_TRUE(WriteAll(fd, std::string(1, c)));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  HttpReader reader(fd);
  EXPECT_EQ(reader.Read().status(), 200);
  EXPECT_NE(pair.ClientStats().find(kOutboundHttp), std::string::npos);
  close(fd);
}

TEST(WorkerDetectionTest, APrefaceThatComesByteByByteIsHttp2) {
  Application application(HttpServer(Mirror));
  HttpPair pair(application.address());
  const int fd = pair.Connect();
  const int one = 1;
  setsockopt(fd, IPPROTO_TCP, 1 /* TCP_NODELAY */, &one, sizeof one);
  for (const char c : http::testing::kClientPreface) {
    ASSERT_TRUE(WriteAll(fd, std::string(1, c)));
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  ASSERT_TRUE(WriteAll(fd, http::testing::Frame(http::testing::FrameType::kSettings, 0, 0, "")));
  const std::string settings = ReadAll(fd, 9);
  ASSERT_EQ(settings.size(), 9u);
  EXPECT_EQ(settings[3], 4);  // SETTINGS
  close(fd);
}

TEST(WorkerDetectionTest, DeclaredHttpNeedsNoDetectionAndAnswersWhatIsNone) {
  Application application(HttpServer(Mirror));
  HttpPair pair(application.address(), config::AppProtocol::kHttp1);
  const int fd = pair.Connect();
  std::this_thread::sleep_for(std::chrono::milliseconds(50));
  ASSERT_TRUE(WriteAll(fd, "SET key value\r\n\r\n"));
  HttpReader reader(fd);
  EXPECT_EQ(reader.Read().status(), 400);
  close(fd);
}

TEST(WorkerDetectionTest, DeclaredTcpIsNeverHttp) {
  Application application(Echo);
  HttpPair pair(application.address(), config::AppProtocol::kTcp);
  auto destination = std::make_shared<Destination>(
      *WithRoutes(Hbone(pair.captured(), net::Address()), config::AppProtocol::kTcp));
  destination->routes = nullptr;
  pair.discovery().Set(application.address(), destination);
  const int fd = pair.Connect();
  ASSERT_TRUE(WriteAll(fd, kGet));
  EXPECT_EQ(ReadAll(fd, kGet.size()), kGet);
  close(fd);
}

TEST(WorkerDetectionTest, PlaintextHttpThatIsLetInIsServedRequestByRequest) {
  for (const MtlsMode mode : {MtlsMode::kPermissive, MtlsMode::kDisable}) {
    for (const config::AppProtocol protocol :
         {config::AppProtocol::kAuto, config::AppProtocol::kHttp1}) {
      Application application(HttpServer(Mirror));
      HttpPair pair(application.address(), protocol, mode);
      const int fd = pair.ConnectCaptured();
      ASSERT_TRUE(
          WriteAll(fd, "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Client-Cert: By=me\r\n\r\n"));
      HttpReader reader(fd);
      const HttpMessage response = reader.Read();
      EXPECT_EQ(response.status(), 200);
      EXPECT_EQ(response.body.find("x-forwarded-client-cert"), std::string::npos) << response.body;
      EXPECT_NE(response.body.find("x-request-id"), std::string::npos);
      close(fd);
      EXPECT_EQ(
          mode == MtlsMode::kPermissive,
          pair.ServerStats().find("countersign_plaintext_callers_total{") != std::string::npos);
      EXPECT_TRUE(Eventually([&] { return pair.ServerStats(); },
                             "countersign_http_connections_total{direction=\"inbound\",protocol="
                             "\"HTTP/1.1\"} 1"));
    }
  }
}

TEST(WorkerDetectionTest, PlaintextThatIsNoHttpGoesThroughWhereItIsLetIn) {
  for (const MtlsMode mode : {MtlsMode::kPermissive, MtlsMode::kDisable}) {
    Application application(Echo);
    HttpPair pair(application.address(), config::AppProtocol::kAuto, mode);
    const int fd = pair.ConnectCaptured();
    ASSERT_TRUE(WriteAll(fd, "SET a b\r\n"));
    EXPECT_EQ(ReadAll(fd, 9), "SET a b\r\n");
    close(fd);
  }
}

TEST(WorkerDetectionTest, StrictRefusesPlaintextHttp) {
  Application application(HttpServer(Mirror));
  HttpPair pair(application.address());
  const int fd = pair.ConnectCaptured();
  ASSERT_TRUE(WriteAll(fd, kGet));
  EXPECT_EQ(ReadAll(fd), "<" + std::to_string(ECONNRESET) + ">");
  close(fd);
}

TEST(WorkerDetectionTest, OpenPlaintextHttpEndsWhenPolicyBecomesStrict) {
  Application application(HttpServer(Mirror));
  HttpPair pair(application.address(), config::AppProtocol::kAuto, MtlsMode::kPermissive);
  const int fd = pair.ConnectCaptured();
  HttpReader reader(fd);
  ASSERT_TRUE(WriteAll(fd, kGet));
  EXPECT_EQ(reader.Read().status(), 200);
  pair.ConfigureHttp(MtlsMode::kStrict);
  EXPECT_EQ(reader.ReadSome(), "");
  EXPECT_TRUE(reader.failed());
  close(fd);
}

// What the caller's sidecar takes for bytes, by tunnel or by TLS of its own.
TEST(WorkerDetectionTest, HttpThatComesAsBytesIsCleanedAndSaysWhoCalls) {
  using config::AppProtocol;
  for (int i = 0; i < 6; ++i) {
    const AppProtocol protocol = std::array{AppProtocol::kHttp1, AppProtocol::kAuto,
                                            AppProtocol::kTcp}[static_cast<size_t>(i / 2)];
    Application application(HttpServer(Mirror));
    Pair pair(application.address());
    if (i % 2 == 1) {
      pair.discovery().Set(application.address(), Hbone(pair.captured(), net::Address()));
    }
    pair.Ready();
    auto inbound = std::make_shared<config::ProxyConfig>(*ConfigOf(MtlsMode::kStrict));
    inbound->inbound.fallback.protocol = protocol;
    pair.server().OnProxyConfig(inbound);
    const int fd = pair.Connect();
    HttpReader reader(fd);
    for (int i = 0; i < 2; ++i) {
      ASSERT_TRUE(WriteAll(fd,
                           "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n"
                           "X-Forwarded-Client-Cert: URI=spiffe://forged\r\n\r\nbody"));
      const HttpMessage answer = reader.Read();
      ASSERT_EQ(answer.status(), 200);
      EXPECT_EQ(answer.body.substr(answer.body.size() - 4), "body");
      const bool forged = answer.body.find("spiffe://forged") != std::string::npos;
      const bool proven = answer.body.find(std::string("URI=") + kClientId) != std::string::npos;
      // Where somebody has said that it is not HTTP, it is not looked at.
      EXPECT_EQ(forged, protocol == AppProtocol::kTcp);
      EXPECT_EQ(proven, protocol != AppProtocol::kTcp);
    }
    close(fd);
    EXPECT_TRUE(Eventually([&] { return pair.ServerStats(); },
                           "countersign_connections_active{direction=\"inbound\"} 0"));
  }
}

TEST(WorkerDetectionTest, Http2InATunnelIsHttp2ToAnApplicationThatHasNotSaidWhatItSpeaks) {
  using http::testing::kClientPreface;
  std::promise<std::string> first;
  Application application([&](int fd) {
    // The tunnel's own connection, to see whether the server speaks first, ends without a word.
    const std::string bytes = ReadAll(fd, kClientPreface.size());
    if (bytes.size() == kClientPreface.size()) first.set_value(bytes);
    close(fd);
  });
  Pair pair(application.address());
  pair.Ready();
  const int fd = pair.Connect();
  using http::testing::Frame;
  using http::testing::FrameType;
  ASSERT_TRUE(WriteAll(fd, std::string(kClientPreface) + Frame(FrameType::kSettings, 0, 0, "") +
                               Frame(FrameType::kHeaders, 0x5, 1,
                                     http::testing::HeaderBlock({{":method", "GET"},
                                                                 {":scheme", "http"},
                                                                 {":authority", "a"},
                                                                 {":path", "/"}}))));
  std::future<std::string> seen = first.get_future();
  ASSERT_EQ(seen.wait_for(std::chrono::seconds(5)), std::future_status::ready);
  EXPECT_EQ(seen.get(), kClientPreface);
  close(fd);
}

TEST(WorkerDetectionTest, SlownessDoesNotMakeBytesOfHttp) {
  Application application(HttpServer(Mirror));
  for (const auto protocol : {config::AppProtocol::kHttp1, config::AppProtocol::kAuto}) {
    // The server's sidecar waits for a second and a half.
    HttpPair pair(application.address(), protocol, MtlsMode::kPermissive);
    const int fd = pair.ConnectCaptured();
    ASSERT_TRUE(WriteAll(fd, "P"));
    std::this_thread::sleep_for(std::chrono::milliseconds(1700));
    ASSERT_TRUE(WriteAll(fd,
                         "OST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n"
                         "X-Forwarded-Client-Cert: URI=spiffe://forged\r\n\r\n"));
    HttpReader reader(fd);
    const HttpMessage answer = reader.Read();
    EXPECT_EQ(answer.status(), 200);
    EXPECT_EQ(answer.body.find("forged"), std::string::npos);
    close(fd);
  }
}

TEST(WorkerDetectionTest, WhereHttpIsDeclaredATunnelCarriesNothingElse) {
  Application application(Echo);
  Pair pair(application.address());
  pair.Ready();
  auto inbound = std::make_shared<config::ProxyConfig>(*ConfigOf(MtlsMode::kStrict));
  inbound->inbound.fallback.protocol = config::AppProtocol::kHttp1;
  pair.server().OnProxyConfig(inbound);
  const int fd = pair.Connect();
  HttpReader reader(fd);
  ASSERT_TRUE(WriteAll(fd, "g\x01t / HTTP/1.1\r\nX-Forwarded-Client-Cert: forged\r\n\r\n"));
  EXPECT_EQ(reader.Read().status(), 400);
  close(fd);
}

}  // namespace
}  // namespace countersign::server
