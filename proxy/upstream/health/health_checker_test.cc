// Active checks of real servers on loopback, on a clock that moves by hand.
#include "proxy/upstream/health/health_checker.h"

#include <string>

#include "proxy/upstream/testing/upstream_fixture.h"

namespace countersign::upstream {
namespace {

using http::Protocol;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::TestServer;

class HealthCheckerTest : public testing::UpstreamFixture {
 protected:
  // A cluster of one endpoint with one check every ten seconds.
  Cluster& Check(config::Endpoint endpoint, config::HealthCheck check,
                 config::AppProtocol protocol = config::AppProtocol::kAuto) {
    auto config = ClusterOf({std::move(endpoint)});
    config->protocol = protocol;
    check.interval_jitter = milliseconds(0);
    config->health_checks = {std::move(check)};
    return Use(config);
  }
  static config::HealthCheck Of(config::HealthCheck::Kind kind) {
    config::HealthCheck check;
    check.kind = kind;
    return check;
  }
  // The first check begins within a second, the others every ten.
  void FirstCheck() { Advance(seconds(1)); }
  void NextCheck() { Advance(seconds(10)); }
  Host& host() { return *cluster_->hosts()[0]; }
  static TestServer::Options Http2() {
    TestServer::Options options;
    options.protocol = Protocol::kHttp2;
    return options;
  }
};

using Kind = config::HealthCheck::Kind;

TEST_F(HealthCheckerTest, AnHttpAnswerThatIsNotExpectedFailsAtOnceAndGoodOnesBringItBack) {
  TestServer server(dispatcher_, {});
  config::HealthCheck check = Of(Kind::kHttp);
  check.path = "/healthz";
  Check(PlainEndpoint(server.address()), check);
  EXPECT_TRUE(host().healthy());  // until the first result
  FirstCheck();
  EXPECT_EQ(server.requests(), 1);
  EXPECT_EQ(server.last_path(), "/healthz");
  EXPECT_TRUE(host().healthy());
  server.status = 503;
  NextCheck();
  EXPECT_FALSE(host().healthy());
  server.status = 200;
  NextCheck();
  EXPECT_FALSE(host().healthy());  // one of two
  NextCheck();
  EXPECT_TRUE(host().healthy());
  EXPECT_EQ(server.accepted(), 1);  // the connection is kept
}

TEST_F(HealthCheckerTest, SilenceFailsOnlyAfterTheThreshold) {
  TestServer server(dispatcher_, {});
  Check(PlainEndpoint(server.address()), Of(Kind::kHttp));
  FirstCheck();
  EXPECT_TRUE(host().healthy());
  server.hold = true;
  NextCheck();  // begins, and times out a second later
  for (int i = 0; i < 2; ++i) {
    Advance(seconds(1));
    NextCheck();
    EXPECT_TRUE(host().healthy()) << i;
  }
  Advance(seconds(1));
  EXPECT_FALSE(host().healthy());
}

TEST_F(HealthCheckerTest, TheFirstResultDecides) {
  net::Address nobody;
  {
    TestServer server(dispatcher_, {});
    nobody = server.address();
  }
  Check(PlainEndpoint(nobody), Of(Kind::kHttp));
  FirstCheck();
  EXPECT_FALSE(host().healthy());
}

TEST_F(HealthCheckerTest, AMeshEndpointIsAskedOverMutualTls) {
  SetSecret();
  TestServer::Options options = Http2();
  options.tls = ServerTls();
  TestServer server(dispatcher_, options);
  Check(MeshEndpoint(server.address()), Of(Kind::kHttp));
  Advance(milliseconds(1000));
  ASSERT_TRUE(RunUntil([&] { return server.requests() == 1; }));
  Settle();
  EXPECT_TRUE(host().healthy());
  server.status = 500;
  NextCheck();
  EXPECT_FALSE(host().healthy());
}

TEST_F(HealthCheckerTest, GrpcHealthIsServingOrNot) {
  TestServer server(dispatcher_, Http2());
  server.headers = {{"content-type", "application/grpc"}};
  server.trailers = {{"grpc-status", "0"}};
  server.body = std::string("\0\0\0\0\x02\x08\x01", 7);  // SERVING
  config::HealthCheck check = Of(Kind::kGrpc);
  check.grpc_service = "shop.Cart";
  Check(PlainEndpoint(server.address()), check);
  FirstCheck();
  EXPECT_EQ(server.last_path(), "/grpc.health.v1.Health/Check");
  ASSERT_EQ(server.requests(), 1);
  EXPECT_EQ(server.connection(0).requests()[0]->body,
            std::string("\0\0\0\0\x0b\x0a\x09", 7) + "shop.Cart");
  EXPECT_TRUE(host().healthy());
  server.body = std::string("\0\0\0\0\x02\x08\x02", 7);  // NOT_SERVING
  NextCheck();
  EXPECT_FALSE(host().healthy());
}

TEST_F(HealthCheckerTest, TcpAsksWhetherSomebodyListens) {
  auto server = std::make_unique<TestServer>(dispatcher_, TestServer::Options{});
  Check(PlainEndpoint(server->address()), Of(Kind::kTcp));
  FirstCheck();
  EXPECT_TRUE(host().healthy());
  server.reset();
  for (int i = 0; i < 3; ++i) NextCheck();
  EXPECT_FALSE(host().healthy());
}

TEST_F(HealthCheckerTest, AHostThatFailsGetsNoRequestsWhileOthersDo) {
  TestServer good(dispatcher_, {});
  TestServer bad(dispatcher_, {});
  bad.status = 500;
  auto config = ClusterOf({PlainEndpoint(good.address()), PlainEndpoint(bad.address())});
  config->health_checks = {Of(Kind::kHttp)};
  Cluster& cluster = Use(config);
  FirstCheck();
  for (int i = 0; i < 50; ++i) EXPECT_EQ(cluster.ChooseHost({}), cluster.hosts()[0].get());
}

TEST_F(HealthCheckerTest, ChecksEndWithTheirHostAndWithTheCluster) {
  TestServer server(dispatcher_, {});
  Cluster& cluster = Check(PlainEndpoint(server.address()), Of(Kind::kHttp));
  FirstCheck();
  auto empty = std::make_shared<config::Cluster>(cluster.config());
  empty->endpoints.clear();
  Use(empty);
  ASSERT_TRUE(RunUntil([&] { return server.open() == 0; }));
  NextCheck();
  EXPECT_EQ(server.requests(), 1);
  Check(PlainEndpoint(server.address()), Of(Kind::kHttp));
  FirstCheck();
  EXPECT_EQ(server.requests(), 2);
  cluster_ = {};
  NextCheck();
  EXPECT_EQ(server.requests(), 2);
  EXPECT_EQ(server.open(), 0);
}

TEST_F(HealthCheckerTest, ChecksThatAreTurnedOffLeaveNobodyOut) {
  TestServer server(dispatcher_, {});
  server.status = 500;
  Cluster& cluster = Check(PlainEndpoint(server.address()), Of(Kind::kHttp));
  FirstCheck();
  EXPECT_FALSE(host().healthy());
  auto without = std::make_shared<config::Cluster>(cluster.config());
  without->health_checks.clear();
  Use(without);
  EXPECT_TRUE(host().healthy());
}

}  // namespace
}  // namespace countersign::upstream
