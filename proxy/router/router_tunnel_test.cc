// Upgrades, CONNECT, and mirrors.
#include <string>

#include "absl/strings/str_cat.h"
#include "proxy/router/mirror.h"
#include "proxy/router/router_fixture.h"

namespace countersign::router {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::Not;

class RouterTunnelTest : public RouterFixture {
 protected:
  void StartUpgrade() {
    Fill("GET", "/ws");
    head_.upgrade = "websocket";
    Start(false);
  }
  void Accept(http::testing::Exchange& exchange, uint16_t status) {
    http::ResponseHead head;
    head.status = status;
    exchange.stream->SendHeaders(head, false);
  }
  static void Say(http::testing::Exchange& exchange, absl::string_view text, bool end = false) {
    buffer::Buffer data;
    data.Append(text);
    exchange.stream->SendData(data, end);
  }
};

TEST_F(RouterTunnelTest, AnUpgradeCarriesBytesBothWaysOnceTheEndpointAgrees) {
  for (const http::Protocol protocol : {kH1, kH2}) {
    auto server = Serve(protocol);
    Main(*server)->protocol =
        protocol == kH1 ? config::AppProtocol::kHttp1 : config::AppProtocol::kHttp2;
    clusters_.clear();
    server->hold = true;
    StartUpgrade();
    http::testing::Exchange& exchange = Exchange(*server);
    EXPECT_EQ(exchange.upgrade, "websocket");
    Send("early", false);
    Settle();
    EXPECT_EQ(exchange.body, "");  // not before the answer
    Accept(exchange, 101);
    ASSERT_TRUE(RunUntil([&] { return exchange.body == "early"; }));
    EXPECT_EQ(downstream_.status, 101);
    Say(exchange, "hello");
    ASSERT_TRUE(RunUntil([&] { return downstream_.body == "hello"; }));
    if (protocol == kH2) {
      // Each direction ends on its own.
      Say(exchange, "", true);
      ASSERT_TRUE(RunUntil([&] { return downstream_.complete; }));
      Send(" late", true);
      ASSERT_TRUE(RunUntil([&] { return exchange.ends == 1; }));
      EXPECT_EQ(exchange.body, "early late");
      EXPECT_EQ(exchange.end, http::StreamEnd::kFinished);
    }
    router_->Reset();
  }
}

TEST_F(RouterTunnelTest, ATunnelThatTheEndpointRefusesCarriesNothing) {
  auto server = Serve();
  Main(*server);
  server->hold = true;
  StartUpgrade();
  http::testing::Exchange& exchange = Exchange(*server);
  Send("GET /smuggled HTTP/1.1\r\nhost: x\r\n\r\n", false);
  server->connection(0).Answer();  // 200
  ASSERT_TRUE(Finish());
  EXPECT_EQ(downstream_.status, 200);
  ASSERT_TRUE(RunUntil([&] { return exchange.ends == 1; }));
  EXPECT_EQ(exchange.body, "");
  EXPECT_EQ(server->requests(), 1u);
  EXPECT_TRUE(RunUntil([&] { return server->open() == 0; }));  // and is not used again
}

TEST_F(RouterTunnelTest, ConnectOpensATunnelToo) {
  auto server = Serve(kH2);
  Main(*server)->protocol = config::AppProtocol::kHttp2;
  server->hold = true;
  head_.Clear();
  head_.method = "CONNECT";
  head_.authority = "db.shop:5432";
  head_.protocol = kH2;
  Start(false);
  http::testing::Exchange& exchange = Exchange(*server);
  EXPECT_EQ(exchange.method, "CONNECT");
  Accept(exchange, 200);
  ASSERT_TRUE(RunUntil([&] { return downstream_.status == 200; }));
  Send("query", false);
  ASSERT_TRUE(RunUntil([&] { return exchange.body == "query"; }));
}

TEST_F(RouterTunnelTest, NoTimeoutOfTheRequestEndsAnOpenTunnel) {
  auto server = Serve(kH2);
  Main(*server)->protocol = config::AppProtocol::kHttp2;
  server->hold = true;
  action().timeout = milliseconds(1000);
  context_.default_idle_timeout = milliseconds(1000);
  StartUpgrade();
  Accept(Exchange(*server), 101);
  ASSERT_TRUE(RunUntil([&] { return downstream_.status == 101; }));
  Advance(milliseconds(1'000'000));
  EXPECT_FALSE(downstream_.done());
}

TEST_F(RouterTunnelTest, AnEndpointThatDoesNotAnswerAnUpgradeIsTimedOut) {
  auto server = Serve();
  Main(*server);
  server->hold = true;
  action().timeout = milliseconds(1000);
  StartUpgrade();
  Exchange(*server);
  Advance(milliseconds(1000));
  EXPECT_EQ(downstream_.reply.status, 504);
}

TEST_F(RouterTunnelTest, ARouteMayForbidUpgrades) {
  auto server = Serve();
  Main(*server);
  action().upgrade_websocket = false;
  StartUpgrade();
  EXPECT_EQ(downstream_.reply.status, 403);
  EXPECT_EQ(downstream_.reason, "upgrade_forbidden");
  EXPECT_EQ(server->requests(), 0u);
}

class MirrorTest : public RouterFixture {
 protected:
  // So many copies had this result.
  bool Counted(const std::string& result, int count) {
    return stats_.Serialize().find(
               absl::StrCat("countersign_cluster_mirrored_requests_total{cluster=\"shadow\","
                            "result=\"",
                            result, "\"} ", count, "\n")) != std::string::npos;
  }

  MirrorTest() : main_(Serve()), shadow_(Serve()) {
    Main(*main_);
    AddCluster("shadow", {shadow_->address()});
    action().mirrors = {{.cluster = "shadow"}};
  }
  std::unique_ptr<TestServer> main_;
  std::unique_ptr<TestServer> shadow_;
};

TEST_F(MirrorTest, ACopyGoesToTheMirrorUnderAShadowsName) {
  Fill("GET", "/a");
  head_.authority = "web.shop:80";
  head_.headers.Add("x-a", "1");
  Start();
  ASSERT_TRUE(Finish());
  http::testing::Exchange& copy = Exchange(*shadow_);
  EXPECT_EQ(copy.path, "/a");
  EXPECT_EQ(copy.authority, "web.shop-shadow:80");
  EXPECT_THAT(copy.headers, HasSubstr("x-a: 1"));
  EXPECT_EQ(main_->requests(), 1u);
  EXPECT_EQ(Mirror::ShadowAuthority("[::1]:80"), "[::1]-shadow:80");
  EXPECT_EQ(Mirror::ShadowAuthority("[::1]"), "[::1]-shadow");
  EXPECT_TRUE(Counted("sent", 1)) << stats_.Serialize();
}

TEST_F(MirrorTest, ABodyIsCopiedWholeOrNotAtAll) {
  main_->hold = true;
  const std::string small(RequestBody::kMaxKept, 's');
  Fill("POST", "/small");
  Start(false);
  Send(small.substr(0, 1000), false);
  http::testing::Exchange& original = Exchange(*main_);
  ASSERT_TRUE(RunUntil([&] { return original.body.size() == 1000; }));
  EXPECT_EQ(shadow_->requests(), 0u);
  Send(small.substr(1000), true);
  http::testing::Exchange& copy = Exchange(*shadow_);
  ASSERT_TRUE(RunUntil([&] { return copy.complete && original.complete; }));
  EXPECT_EQ(copy.body, small);
  EXPECT_EQ(original.body, small);
  main_->connection(0).Answer();
  ASSERT_TRUE(Finish());

  Fill("POST", "/large");
  Start(false);
  Send(small, false);
  http::testing::Exchange& large = Exchange(*main_, 0, 1);
  Send("x", true);
  ASSERT_TRUE(RunUntil([&] { return large.complete; }));
  main_->connection(0).Answer();
  ASSERT_TRUE(Finish());
  Settle();
  EXPECT_EQ(shadow_->requests(), 1u);
  EXPECT_TRUE(Counted("sent", 1)) << stats_.Serialize();
  EXPECT_TRUE(Counted("too_large", 1)) << stats_.Serialize();
}

TEST_F(MirrorTest, AMirrorThatIsSlowBrokenOrMissingDoesNothingToTheOriginal) {
  shadow_->hold = true;
  Get();
  EXPECT_EQ(downstream_.body, "ok");
  AddCluster("shadow", {DeadAddress()});
  clusters_.erase("shadow");
  Get();
  EXPECT_EQ(downstream_.body, "ok");
  EXPECT_TRUE(RunUntil([&] { return Counted("not_reached", 1); })) << stats_.Serialize();
  AddCluster("shadow", std::vector<net::Address>{});
  clusters_.erase("shadow");
  Get();
  EXPECT_EQ(downstream_.body, "ok");
  EXPECT_TRUE(Counted("not_reached", 2)) << stats_.Serialize();
  configs_.erase("shadow");
  clusters_.erase("shadow");
  Get();
  EXPECT_EQ(downstream_.body, "ok");
  EXPECT_TRUE(router_->info().flags.empty());
}

TEST_F(MirrorTest, MirrorsThatRunAtOnceAreBoundedAndEndByThemselves) {
  shadow_->hold = true;
  for (size_t i = 0; i < 2 * Mirrors::kMost; ++i) Get();
  Settle();
  EXPECT_EQ(shadow_->requests(), Mirrors::kMost);
  EXPECT_TRUE(Counted("sent", Mirrors::kMost)) << stats_.Serialize();
  EXPECT_TRUE(Counted("limit", Mirrors::kMost)) << stats_.Serialize();
  Advance(milliseconds(15'000));
  EXPECT_EQ(Count(*clusters_["shadow"], upstream::CircuitBreakers::Kind::kRequests), 0u);
  shadow_->hold = false;
  Get();
  ASSERT_TRUE(RunUntil([&] { return shadow_->requests() == Mirrors::kMost + 1; }));
}

TEST_F(MirrorTest, AMirrorsConnectionIsUsedAgain) {
  for (int i = 0; i < 10; ++i) {
    Get();
    ASSERT_TRUE(RunUntil([&] { return shadow_->requests() == static_cast<size_t>(i + 1); }));
    Settle();
  }
  EXPECT_EQ(shadow_->accepted(), 1u);
}

TEST_F(MirrorTest, AShareOfTheRequestsIsMirrored) {
  action().mirrors[0].per_million = 0;
  for (int i = 0; i < 10; ++i) Get();
  Settle();
  EXPECT_EQ(shadow_->requests(), 0u);
}

TEST_F(MirrorTest, ACopyThatGetsNoConnectionInItsTimeIsCountedOnce) {
  TestServer::Options options;
  options.protocol = kH2;
  options.mute = true;  // its SETTINGS never come
  TestServer mute(dispatcher_, options);
  auto cluster = AddCluster("shadow", {mute.address()});
  cluster->protocol = config::AppProtocol::kHttp2;
  cluster->connect_timeout = milliseconds(600'000);
  Get();
  ASSERT_TRUE(RunUntil([&] { return mute.accepted() == 1; }));
  Settle();
  Advance(milliseconds(15'000));
  EXPECT_TRUE(Counted("not_reached", 1)) << stats_.Serialize();
  router_.reset();
  EXPECT_TRUE(Counted("not_reached", 1)) << stats_.Serialize();
}

}  // namespace
}  // namespace countersign::router
