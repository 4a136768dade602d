// Pools with real codecs and sockets on loopback, and a clock that moves by hand.
#include "proxy/upstream/pool/http_pool.h"

#include <memory>
#include <string>
#include <vector>

#include "proxy/upstream/testing/upstream_fixture.h"

namespace countersign::upstream {
namespace {

using http::Protocol;
using std::chrono::milliseconds;
using std::chrono::seconds;
using testing::TestServer;
using Kind = CircuitBreakers::Kind;

class HttpPoolTest : public testing::UpstreamFixture {
 protected:
  TestServer::Options Http1() { return {}; }
  TestServer::Options Http2() {
    TestServer::Options options;
    options.protocol = Protocol::kHttp2;
    return options;
  }
  TestServer::Options Mesh(const std::string& id = testing::kTheirId) {
    TestServer::Options options = Http2();
    options.tls = ServerTls(id);
    return options;
  }
  std::shared_ptr<config::Cluster> Plain(const TestServer& server) {
    return ClusterOf({PlainEndpoint(server.address())});
  }
};

TEST_F(HttpPoolTest, OneHttp1ConnectionServesOneRequestAfterAnother) {
  TestServer server(dispatcher_, Http1());
  Cluster& cluster = Use(Plain(server));
  for (int i = 0; i < 5; ++i) {
    auto request = Get(cluster);
    EXPECT_EQ(request->call.status, 200);
    EXPECT_EQ(request->call.body, "ok");
    EXPECT_EQ(request->protocol, Protocol::kHttp11);
    EXPECT_EQ(request->reused, i > 0);
  }
  EXPECT_EQ(server.accepted(), 1);
  EXPECT_EQ(Count(cluster, Kind::kRequests), 0);
  EXPECT_EQ(Count(cluster, Kind::kConnections), 1);
  EXPECT_EQ(cluster.hosts()[0]->active, 0);
}

TEST_F(HttpPoolTest, Http1RequestsAtOnceTakeAConnectionEachAndTheLastUsedIsUsedNext) {
  TestServer server(dispatcher_, Http1());
  server.hold = true;
  Cluster& cluster = Use(Plain(server));
  auto first = Send(cluster);
  auto second = Send(cluster);
  ASSERT_TRUE(RunUntil([&] { return server.requests() == 2; }));
  EXPECT_EQ(server.accepted(), 2);
  EXPECT_EQ(cluster.hosts()[0]->active, 2);
  server.connection(1).Answer();
  ASSERT_TRUE(RunUntil([&] { return second->call.ends + first->call.ends == 1; }));
  server.connection(0).Answer();
  ASSERT_TRUE(RunUntil([&] { return first->call.ends == 1 && second->call.ends == 1; }));
  server.hold = false;
  for (int i = 0; i < 3; ++i) Get(cluster);
  EXPECT_EQ(server.accepted(), 2);
  EXPECT_EQ(server.connection(0).requests().size(), 4);  // it came back last
}

TEST_F(HttpPoolTest, AnHttp1ConnectionWhoseRequestIsBrokenOffIsGivenToNobodyInItsLastTurn) {
  TestServer server(dispatcher_, Http1());
  server.hold = true;
  auto config = Plain(server);
  config->breakers.max_connections = 1;
  Cluster& cluster = Use(config);
  auto first = Send(cluster);
  ASSERT_TRUE(RunUntil([&] { return server.requests() == 1; }));
  auto waiting = Send(cluster);
  first->Reset();
  auto next = Send(cluster);
  server.hold = false;
  ASSERT_TRUE(RunUntil([&] {
    return (waiting->failed || waiting->call.ends > 0) && (next->failed || next->call.ends > 0);
  }));
  EXPECT_EQ(waiting->call.status, 200) << waiting->explanation;
  EXPECT_EQ(next->call.status, 200) << next->explanation;
  EXPECT_EQ(Count(cluster, Kind::kRequests), 0);
}

TEST_F(HttpPoolTest, ManyStreamsShareOneHttp2Connection) {
  TestServer server(dispatcher_, Http2());
  auto config = Plain(server);
  config->protocol = config::AppProtocol::kHttp2;
  Cluster& cluster = Use(config);
  std::vector<std::unique_ptr<Request>> requests;
  for (int i = 0; i < 50; ++i) requests.push_back(Send(cluster));
  ASSERT_TRUE(RunUntil([&] {
    int done = 0;
    for (const auto& request : requests) done += request->call.ends;
    return done == 50;
  }));
  for (const auto& request : requests) EXPECT_EQ(request->call.status, 200);
  EXPECT_EQ(server.accepted(), 1);
  EXPECT_EQ(Count(cluster, Kind::kRequests), 0);
}

TEST_F(HttpPoolTest, AnotherHttp2ConnectionIsMadeOnlyWhenOneIsFull) {
  TestServer server(dispatcher_, Http2());
  server.hold = true;
  auto config = Plain(server);
  config->protocol = config::AppProtocol::kHttp2;
  config->pool.max_concurrent_streams = 4;
  Cluster& cluster = Use(config);
  std::vector<std::unique_ptr<Request>> requests;
  for (int i = 0; i < 4; ++i) requests.push_back(Send(cluster));
  ASSERT_TRUE(RunUntil([&] { return server.requests() == 4; }));
  EXPECT_EQ(server.accepted(), 1);
  for (int i = 0; i < 2; ++i) requests.push_back(Send(cluster));
  ASSERT_TRUE(RunUntil([&] { return server.requests() == 6; }));
  EXPECT_EQ(server.accepted(), 2);
}

TEST_F(HttpPoolTest, ThePeersOwnLimitOfStreamsIsKept) {
  TestServer::Options options = Http2();
  options.limits.max_concurrent_streams = 2;
  TestServer server(dispatcher_, options);
  server.hold = true;
  auto config = Plain(server);
  config->protocol = config::AppProtocol::kHttp2;
  Cluster& cluster = Use(config);
  std::vector<std::unique_ptr<Request>> requests;
  for (int i = 0; i < 5; ++i) requests.push_back(Send(cluster));
  ASSERT_TRUE(RunUntil([&] { return server.requests() == 5; }));
  EXPECT_EQ(server.accepted(), 3);
}

TEST_F(HttpPoolTest, WhereNobodySaidWhatIsSpokenTheDownstreamDecides) {
  TestServer one(dispatcher_, Http1());
  EXPECT_EQ(Get(Use(Plain(one)), Protocol::kHttp11)->protocol, Protocol::kHttp11);
  TestServer two(dispatcher_, Http2());
  EXPECT_EQ(Get(Use(Plain(two)), Protocol::kHttp2)->protocol, Protocol::kHttp2);
}

TEST_F(HttpPoolTest, AMeshEndpointIsCalledByHttp2OverMutualTls) {
  SetSecret();
  TestServer server(dispatcher_, Mesh());
  Cluster& cluster = Use(ClusterOf({MeshEndpoint(server.address())}));
  auto request = Get(cluster);
  EXPECT_EQ(request->call.status, 200) << request->explanation;
  EXPECT_EQ(request->protocol, Protocol::kHttp2);
  EXPECT_EQ(request->peer, testing::kTheirId);
  EXPECT_EQ(peers, 1);
  Get(cluster);
  EXPECT_EQ(server.accepted(), 1);
}

class TunnelledHttpTest : public HttpPoolTest {
 protected:
  TestServer::Options Tunnel(Protocol protocol) {
    TestServer::Options options;
    options.protocol = protocol;
    options.tls = ServerTls(testing::kTheirId, "h2");
    options.tunnel = true;
    return options;
  }
  // An application behind the sidecar that listens for tunnels at `tunnel`.
  config::Endpoint Behind(const net::Address& tunnel) {
    config::Endpoint endpoint = MeshEndpoint(*net::Address::Parse("10.9.8.7:80"));
    endpoint.transport = config::EndpointTransport::kHbone;
    endpoint.tunnel = tunnel;
    return endpoint;
  }
};

TEST_F(TunnelledHttpTest, WhatTheApplicationSpeaksTravelsInATunnel) {
  SetSecret();
  for (const Protocol protocol : {Protocol::kHttp11, Protocol::kHttp2}) {
    TestServer server(dispatcher_, Tunnel(protocol));
    Cluster& cluster = Use(ClusterOf({Behind(server.address())}));
    for (int i = 0; i < 3; ++i) {
      auto request = Get(cluster, protocol);
      EXPECT_EQ(request->call.status, 200) << request->explanation;
      EXPECT_EQ(request->protocol, protocol);
      EXPECT_EQ(request->peer, testing::kTheirId);
    }
    EXPECT_EQ(server.last_authority, "10.9.8.7:80");
    EXPECT_EQ(server.accepted(), 1);
    cluster_ = {};
    Settle();
  }
}

TEST_F(TunnelledHttpTest, AnApplicationThatDoesNotListenIsAConnectFailure) {
  SetSecret();
  TestServer server(dispatcher_, Tunnel(Protocol::kHttp11));
  server.refuse_tunnels = 503;
  auto request = Get(Use(ClusterOf({Behind(server.address())})));
  EXPECT_TRUE(request->failed);
  EXPECT_EQ(request->failure, PoolFailure::kConnect);
  EXPECT_EQ(request->reason, buffer::CloseReason::kTunnelRefused);
  EXPECT_THAT(request->explanation, ::testing::HasSubstr("nobody listens there"));
}

TEST_F(TunnelledHttpTest, ConnectionsInTunnelsGoWithTheCertificate) {
  SetSecret();
  TestServer server(dispatcher_, Tunnel(Protocol::kHttp11));
  Cluster& cluster = Use(ClusterOf({Behind(server.address())}));
  Get(cluster);
  SetSecret();
  EXPECT_EQ(Get(cluster)->call.status, 200);
  EXPECT_EQ(server.accepted(), 2);
}

TEST_F(HttpPoolTest, ADifferentIdentityIsRefusedInWords) {
  SetSecret();
  TestServer server(dispatcher_, Mesh("spiffe://cluster.local/ns/default/sa/other"));
  auto request = Get(Use(ClusterOf({MeshEndpoint(server.address())})));
  EXPECT_TRUE(request->failed);
  EXPECT_EQ(request->failure, PoolFailure::kConnect);
  EXPECT_THAT(request->explanation, ::testing::HasSubstr("sa/other"));
  ASSERT_EQ(handshake_failures.size(), 1);
  EXPECT_THAT(handshake_failures[0], ::testing::HasSubstr("verify_unexpected_id"));
  EXPECT_EQ(peers, 0);
}

TEST_F(HttpPoolTest, PlaintextWhereMeshTlsIsExpectedIsNamed) {
  SetSecret();
  TestServer server(dispatcher_, Http1());
  auto request = Get(Use(ClusterOf({MeshEndpoint(server.address())})));
  EXPECT_TRUE(request->failed);
  EXPECT_EQ(request->failure, PoolFailure::kConnect);
}

TEST_F(HttpPoolTest, WithoutACertificateMeshRequestsFailAtOnce) {
  TestServer server(dispatcher_, Http2());
  auto request = Send(Use(ClusterOf({MeshEndpoint(server.address())})));
  EXPECT_TRUE(request->failed);
  EXPECT_EQ(request->failure, PoolFailure::kNoIdentity);
  EXPECT_EQ(cluster_->hosts()[0]->active, 0);
}

TEST_F(HttpPoolTest, AHostWhereNobodyListensFailsWhoWaitsAndComesLastForAWhile) {
  net::Address nobody;
  {
    TestServer server(dispatcher_, Http1());
    nobody = server.address();
  }
  Cluster& cluster = Use(ClusterOf({PlainEndpoint(nobody)}));
  auto request = Get(cluster);
  EXPECT_TRUE(request->failed);
  EXPECT_EQ(request->failure, PoolFailure::kConnect);
  EXPECT_EQ(request->reason, buffer::CloseReason::kConnectRefused);
  EXPECT_THAT(request->explanation, ::testing::HasSubstr(nobody.ToString()));
  EXPECT_GT(cluster.hosts()[0]->failed_until, dispatcher_.now());
  EXPECT_EQ(Count(cluster, Kind::kConnections), 0);
  EXPECT_EQ(Count(cluster, Kind::kPending), 0);
  EXPECT_EQ(Count(cluster, Kind::kRequests), 0);
}

TEST_F(HttpPoolTest, AServerThatSaysNothingTimesOut) {
  TestServer::Options options = Http2();
  options.mute = true;
  TestServer server(dispatcher_, options);
  auto config = Plain(server);
  config->protocol = config::AppProtocol::kHttp2;
  Cluster& cluster = Use(config);
  auto request = Send(cluster);
  ASSERT_TRUE(RunUntil([&] { return server.accepted() == 1; }));
  Advance(config->connect_timeout - milliseconds(1));
  EXPECT_FALSE(request->failed);
  Advance(milliseconds(1));
  EXPECT_TRUE(request->failed);
  EXPECT_EQ(request->reason, buffer::CloseReason::kConnectTimeout);
  EXPECT_THAT(request->explanation, ::testing::HasSubstr("SETTINGS"));
}

TEST_F(HttpPoolTest, AConnectionThatIsIdleForLongIsClosed) {
  TestServer server(dispatcher_, Http1());
  Cluster& cluster = Use(Plain(server));
  Get(cluster);
  Advance(seconds(30));
  Get(cluster);  // it is used again, and the time begins anew
  Advance(seconds(59));
  EXPECT_EQ(server.open(), 1);
  Advance(seconds(1));
  ASSERT_TRUE(RunUntil([&] { return server.open() == 0; }));
  EXPECT_EQ(Count(cluster, Kind::kConnections), 0);
  EXPECT_EQ(server.accepted(), 1);
}

TEST_F(HttpPoolTest, AServerThatDoesNotSpeakHttp2FailsWhoWaitsAtOnce) {
  TestServer server(dispatcher_, Http1());
  auto config = Plain(server);
  config->protocol = config::AppProtocol::kHttp2;
  auto request = Get(Use(config));  // the clock stands still: no time-out comes
  EXPECT_TRUE(request->failed);
  EXPECT_EQ(request->failure, PoolFailure::kConnect);
  EXPECT_THAT(request->explanation, ::testing::HasSubstr("HTTP/2"));
}

TEST_F(HttpPoolTest, AnIdleHttp2ConnectionSaysGoawayBeforeItCloses) {
  TestServer server(dispatcher_, Http2());
  auto config = Plain(server);
  config->protocol = config::AppProtocol::kHttp2;
  Get(Use(config));
  Advance(seconds(60));
  ASSERT_TRUE(RunUntil([&] { return server.open() == 0; }));
}

TEST_F(HttpPoolTest, AConnectionTakesNoMoreRequestsThanItMay) {
  TestServer server(dispatcher_, Http1());
  auto config = Plain(server);
  config->pool.max_requests_per_connection = 2;
  Cluster& cluster = Use(config);
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Get(cluster)->call.status, 200);
  EXPECT_EQ(server.accepted(), 3);
}

TEST_F(HttpPoolTest, AnOldConnectionIsReplacedAndItsRequestsFinish) {
  TestServer server(dispatcher_, Http2());
  server.hold = true;
  auto config = Plain(server);
  config->protocol = config::AppProtocol::kHttp2;
  config->pool.max_connection_age = seconds(100);
  Cluster& cluster = Use(config);
  auto old = Send(cluster);
  ASSERT_TRUE(RunUntil([&] { return server.requests() == 1; }));
  Advance(seconds(100));
  auto young = Send(cluster);
  ASSERT_TRUE(RunUntil([&] { return server.requests() == 2; }));
  EXPECT_EQ(server.accepted(), 2);
  EXPECT_EQ(server.open(), 2);
  server.connection(0).Answer();
  ASSERT_TRUE(RunUntil([&] { return old->call.ends == 1; }));
  EXPECT_EQ(old->call.status, 200);
  ASSERT_TRUE(RunUntil([&] { return server.open() == 1; }));
}

TEST_F(HttpPoolTest, GoawayMovesNewRequestsElsewhereAndOldOnesFinish) {
  TestServer server(dispatcher_, Http2());
  server.hold = true;
  auto config = Plain(server);
  config->protocol = config::AppProtocol::kHttp2;
  Cluster& cluster = Use(config);
  auto old = Send(cluster);
  ASSERT_TRUE(RunUntil([&] { return server.requests() == 1; }));
  server.connection(0).Drain();
  Settle();
  auto young = Send(cluster);
  ASSERT_TRUE(RunUntil([&] { return server.requests() == 2; }));
  EXPECT_EQ(server.accepted(), 2);
  server.connection(0).Answer();
  ASSERT_TRUE(RunUntil([&] { return old->call.ends == 1; }));
  EXPECT_EQ(old->call.status, 200);
}

TEST_F(HttpPoolTest, AConnectionMadeWithAReplacedCertificateTakesNoNewRequests) {
  SetSecret();
  TestServer server(dispatcher_, Mesh());
  server.hold = true;
  Cluster& cluster = Use(ClusterOf({MeshEndpoint(server.address())}));
  auto old = Send(cluster);
  ASSERT_TRUE(RunUntil([&] { return server.requests() == 1; }));
  SetSecret();
  auto young = Send(cluster);
  ASSERT_TRUE(RunUntil([&] { return server.requests() == 2; }));
  EXPECT_EQ(server.accepted(), 2);
  server.connection(0).Answer();
  ASSERT_TRUE(RunUntil([&] { return old->call.ends == 1; }));
  EXPECT_EQ(old->call.status, 200);
  ASSERT_TRUE(RunUntil([&] { return server.open() == 1; }));
}

TEST_F(HttpPoolTest, AConnectionLivesNoLongerThanItsCertificate) {
  SetSecret(absl::Minutes(10));
  TestServer server(dispatcher_, Mesh());
  auto config = ClusterOf({MeshEndpoint(server.address())});
  config->pool.idle_timeout = seconds(3600);
  Cluster& cluster = Use(config);
  Get(cluster);
  Advance(seconds(599));
  EXPECT_EQ(server.open(), 1);
  Advance(seconds(2));
  ASSERT_TRUE(RunUntil([&] { return server.open() == 0; }));
}

TEST_F(HttpPoolTest, ADeniedPeerLosesItsConnectionsAtOnce) {
  SetSecret();
  TestServer server(dispatcher_, Mesh());
  server.hold = true;
  Cluster& cluster = Use(ClusterOf({MeshEndpoint(server.address())}));
  auto request = Send(cluster);
  ASSERT_TRUE(RunUntil([&] { return server.requests() == 1; }));
  EXPECT_EQ(
      table_.CloseIf(
          [](const spiffe::PeerSvid& peer) { return peer.id.ToString() == testing::kTheirId; },
          buffer::CloseReason::kDenied),
      1);
  EXPECT_EQ(request->call.ends, 1);
  EXPECT_EQ(request->call.end, http::StreamEnd::kConnectionLost);
  EXPECT_EQ(Count(cluster, Kind::kRequests), 0);
  EXPECT_EQ(peers, 0);
}

TEST_F(HttpPoolTest, NewLimitsOfConnectionsHoldForTheNextRequest) {
  TestServer server(dispatcher_, Http1());
  Get(Use(Plain(server)));
  auto config = Plain(server);
  config->breakers.max_requests = 7;  // of the cluster: nobody need go
  Get(Use(config));
  EXPECT_EQ(server.accepted(), 1);
  config = std::make_shared<config::Cluster>(*config);
  config->pool.max_requests_per_connection = 1;
  Cluster& cluster = Use(config);
  Settle();
  for (int i = 0; i < 2; ++i) EXPECT_EQ(Get(cluster)->call.status, 200);
  Settle();
  EXPECT_EQ(server.accepted(), 3);
  EXPECT_EQ(Count(cluster, Kind::kConnections), 0);
}

TEST_F(HttpPoolTest, TheBreakersRefuseWhatIsBeyondThem) {
  TestServer server(dispatcher_, Http1());
  server.hold = true;
  auto config = Plain(server);
  config->breakers.max_connections = 2;
  config->breakers.max_pending_requests = 3;
  config->breakers.max_requests = 5;
  Cluster& cluster = Use(config);
  std::vector<std::unique_ptr<Request>> requests;
  for (int i = 0; i < 2; ++i) requests.push_back(Send(cluster));
  ASSERT_TRUE(RunUntil([&] { return server.requests() == 2; }));
  for (int i = 0; i < 3; ++i) requests.push_back(Send(cluster));
  Settle();
  EXPECT_EQ(server.accepted(), 2);
  EXPECT_EQ(Count(cluster, Kind::kPending), 3);
  auto refused = Send(cluster);
  EXPECT_TRUE(refused->failed);
  EXPECT_EQ(refused->failure, PoolFailure::kOverflow);
  EXPECT_THAT(refused->explanation, ::testing::HasSubstr("cluster echo"));
  requests[2].reset();  // gave up while it waited
  EXPECT_EQ(Count(cluster, Kind::kPending), 2);
  server.hold = false;
  for (int i = 0; i < 2; ++i) server.connection(i).Answer();
  ASSERT_TRUE(RunUntil([&] {
    return requests[0]->call.ends + requests[1]->call.ends + requests[3]->call.ends +
               requests[4]->call.ends ==
           4;
  }));
  EXPECT_EQ(server.accepted(), 2);
  EXPECT_EQ(Count(cluster, Kind::kRequests), 0);
}

TEST_F(HttpPoolTest, UnaskedForBytesEndAnIdleHttp1Connection) {
  TestServer server(dispatcher_, Http1());
  Cluster& cluster = Use(Plain(server));
  Get(cluster);
  server.connection(0).Write("HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil");
  Settle();
  EXPECT_EQ(Get(cluster)->call.body, "ok");
  EXPECT_EQ(server.accepted(), 2);
}

TEST_F(HttpPoolTest, AResetRequestEndsItsHttp1ConnectionAndNotItsHttp2One) {
  TestServer one(dispatcher_, Http1());
  one.hold = true;
  Cluster& cluster = Use(Plain(one));
  auto request = Send(cluster);
  ASSERT_TRUE(RunUntil([&] { return one.requests() == 1; }));
  request->Reset();
  EXPECT_EQ(Count(cluster, Kind::kRequests), 0);
  ASSERT_TRUE(RunUntil([&] { return one.open() == 0; }));
  EXPECT_EQ(Count(cluster, Kind::kConnections), 0);

  TestServer two(dispatcher_, Http2());
  two.hold = true;
  auto config = Plain(two);
  config->protocol = config::AppProtocol::kHttp2;
  Cluster& second = Use(config);
  request = Send(second);
  ASSERT_TRUE(RunUntil([&] { return two.requests() == 1; }));
  request->Reset();
  Settle();
  EXPECT_EQ(two.open(), 1);
  EXPECT_EQ(Count(second, Kind::kRequests), 0);
}

TEST_F(HttpPoolTest, ALostConnectionEndsItsStreamsAndSaysWhy) {
  TestServer server(dispatcher_, Http2());
  server.hold = true;
  auto config = Plain(server);
  config->protocol = config::AppProtocol::kHttp2;
  Cluster& cluster = Use(config);
  auto one = Send(cluster);
  auto two = Send(cluster);
  ASSERT_TRUE(RunUntil([&] { return server.requests() == 2; }));
  server.connection(0).Reset();
  ASSERT_TRUE(RunUntil([&] { return one->call.ends == 1 && two->call.ends == 1; }));
  EXPECT_EQ(one->call.end, http::StreamEnd::kConnectionLost);
  EXPECT_EQ(cluster.hosts()[0]->active, 0);
  server.hold = false;
  EXPECT_EQ(Get(cluster)->call.status, 200);
}

TEST_F(HttpPoolTest, ARemovedHostFinishesItsRequestsAndThenItsPoolCloses) {
  TestServer server(dispatcher_, Http2());
  server.hold = true;
  auto config = Plain(server);
  config->protocol = config::AppProtocol::kHttp2;
  Cluster& cluster = Use(config);
  auto request = Send(cluster);
  ASSERT_TRUE(RunUntil([&] { return server.requests() == 1; }));
  auto empty = std::make_shared<config::Cluster>(*config);
  empty->endpoints.clear();
  Use(empty);
  Settle();
  EXPECT_EQ(server.open(), 1);
  server.connection(0).Answer();
  ASSERT_TRUE(RunUntil([&] { return request->call.ends == 1; }));
  EXPECT_EQ(request->call.status, 200);
  ASSERT_TRUE(RunUntil([&] { return server.open() == 0; }));
  EXPECT_EQ(Count(cluster, Kind::kConnections), 0);
}

TEST_F(HttpPoolTest, AClusterThatNobodyUsesClosesItsConnections) {
  TestServer server(dispatcher_, Http1());
  Get(Use(Plain(server)));
  cluster_ = {};
  EXPECT_EQ(table_.size(), 0);
  ASSERT_TRUE(RunUntil([&] { return server.open() == 0; }));
}

TEST_F(HttpPoolTest, PreconnectKeepsRoomAhead) {
  TestServer server(dispatcher_, Http2());
  server.hold = true;
  auto config = Plain(server);
  config->protocol = config::AppProtocol::kHttp2;
  config->pool.max_concurrent_streams = 2;
  config->pool.preconnect_percent = 200;
  Cluster& cluster = Use(config);
  auto one = Send(cluster);
  auto two = Send(cluster);
  ASSERT_TRUE(RunUntil([&] { return server.requests() == 2; }));
  EXPECT_EQ(server.accepted(), 2);
}

TEST_F(HttpPoolTest, AServerThatAlwaysSaysGoawayDoesNotMakeUsConnectForEver) {
  TestServer server(dispatcher_, Http2());
  auto config = Plain(server);
  config->protocol = config::AppProtocol::kHttp2;
  Cluster& cluster = Use(config);
  auto request = Send(cluster);
  ASSERT_TRUE(RunUntil([&] { return server.accepted() == 1; }));
  server.connection(0).Drain();
  ASSERT_TRUE(RunUntil([&] { return request->failed || request->call.ends == 1; }));
  EXPECT_LE(server.accepted(), 2);
}

}  // namespace
}  // namespace countersign::upstream
