// Requests on their way and back, over real codecs and sockets.
#include "proxy/router/router.h"

#include <string>

#include "proxy/router/reasons.h"
#include "proxy/router/router_fixture.h"

namespace countersign::router {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::Not;

class RouterTest : public RouterFixture {};

TEST_F(RouterTest, ARequestGoesToItsClusterAndTheResponseComesBack) {
  for (const http::Protocol protocol : {kH1, kH2}) {
    auto server = Serve(protocol);
    server->headers = {{"x-answer", "yes"}};
    Main(*server)->protocol =
        protocol == kH1 ? config::AppProtocol::kHttp1 : config::AppProtocol::kHttp2;
    clusters_.clear();
    Get("/a?b");
    EXPECT_EQ(downstream_.status, 200);
    EXPECT_EQ(downstream_.body, "ok");
    EXPECT_THAT(downstream_.headers, HasSubstr("x-answer: yes"));
    EXPECT_EQ(server->last_path(), "/a?b");
    EXPECT_EQ(router_->info().attempts, 1u);
    EXPECT_EQ(router_->info().upstream_remote, server->address());
    EXPECT_EQ(router_->info().cluster, clusters_["main"].get());
    EXPECT_EQ(router_->info().host->endpoint.address, server->address());
    EXPECT_TRUE(router_->info().flags.empty());
  }
}

TEST_F(RouterTest, BodiesAndTrailersGoBothWays) {
  auto server = Serve(kH2);
  Main(*server)->protocol = config::AppProtocol::kHttp2;
  server->hold = true;
  Fill("POST");
  Start(false);
  Send("hello ", false);
  http::testing::Exchange& exchange = Exchange(*server);
  ASSERT_TRUE(RunUntil([&] { return exchange.body == "hello "; }));
  Send("world", false);
  http::HeaderMap trailers;
  trailers.Add("x-sum", "1");
  router_->SendTrailers(trailers);
  ASSERT_TRUE(RunUntil([&] { return exchange.complete; }));
  EXPECT_EQ(exchange.body, "hello world");
  EXPECT_THAT(exchange.trailers, HasSubstr("x-sum: 1"));
  server->trailers = {{"x-end", "2"}};
  server->connection(0).Answer();
  ASSERT_TRUE(Finish());
  EXPECT_EQ(downstream_.body, "ok");
  EXPECT_THAT(downstream_.trailers, HasSubstr("x-end: 2"));
}

TEST_F(RouterTest, OneRouterServesRequestAfterRequestOverOneConnection) {
  auto server = Serve();
  Main(*server);
  for (int i = 0; i < 20; ++i) Get();
  EXPECT_EQ(server->requests(), 20u);
  EXPECT_EQ(server->accepted(), 1u);
}

TEST_F(RouterTest, TheNextRequestMayBeginInsideTheLastCallbackOfTheOneBefore) {
  auto server = Serve();
  Main(*server);
  int rounds = 0;
  RecordingDownstream second;
  http::RequestHead head;
  http::testing::FillRequest(head, "GET", "/second");
  Fill("GET", "/first");
  Start();
  downstream_.hook = [&] {
    if (!downstream_.complete || ++rounds > 1) return;
    router_->Reset();
    router_->Start(second, context_, head, true);
  };
  ASSERT_TRUE(RunUntil([&] { return second.done(); }));
  EXPECT_EQ(downstream_.body, "ok");
  EXPECT_EQ(second.body, "ok");
  EXPECT_EQ(server->last_path(), "/second");
}

TEST_F(RouterTest, ARequestMayBeCancelledInAnyCallback) {
  auto server = Serve(kH2);
  Main(*server)->protocol = config::AppProtocol::kHttp2;
  server->trailers = {{"x-end", "2"}};
  for (int at = 1; at <= 3; ++at) {
    for (const bool reset : {false, true}) {
      Fill();
      Start();
      downstream_.hook = [&, at, reset] {
        if (downstream_.callbacks != at) return;
        reset ? router_->Reset() : router_->Cancel();
      };
      ASSERT_TRUE(RunUntil([&] { return downstream_.callbacks >= at; }));
      Settle();
      EXPECT_EQ(downstream_.callbacks, at);
    }
  }
  server->trailers.clear();
  Get();
  EXPECT_EQ(downstream_.body, "ok");
}

TEST_F(RouterTest, AnswersBelow200ComeThrough) {
  auto server = Serve();
  Main(*server);
  server->hold = true;
  Fill("POST");
  head_.headers.Add("expect", "100-continue");
  Start(false);
  http::testing::Exchange& exchange = Exchange(*server);
  http::ResponseHead go_on;
  go_on.status = 100;
  exchange.stream->SendInformational(go_on);
  ASSERT_TRUE(RunUntil([&] { return !downstream_.informational.empty(); }));
  EXPECT_EQ(downstream_.informational, std::vector<uint16_t>{100});
  Send("body", true);
  ASSERT_TRUE(RunUntil([&] { return exchange.complete; }));
  server->connection(0).Answer();
  ASSERT_TRUE(Finish());
  EXPECT_EQ(downstream_.status, 200);
}

TEST_F(RouterTest, AClientThatLeavesCancelsItsRequest) {
  auto server = Serve(kH2);
  Main(*server)->protocol = config::AppProtocol::kHttp2;
  server->hold = true;
  Start();
  http::testing::Exchange& exchange = Exchange(*server);
  router_->Cancel();
  ASSERT_TRUE(RunUntil([&] { return exchange.ends == 1; }));
  EXPECT_EQ(exchange.end, http::StreamEnd::kPeerReset);
  EXPECT_EQ(downstream_.callbacks, 0);
  EXPECT_EQ(Count(*clusters_["main"], upstream::CircuitBreakers::Kind::kRequests), 0u);
}

TEST_F(RouterTest, AResponseBeforeTheRequestsEndIsDeliveredAndTheRestOfTheRequestDropped) {
  for (const http::Protocol protocol : {kH1, kH2}) {
    auto server = Serve(protocol);
    Main(*server)->protocol =
        protocol == kH1 ? config::AppProtocol::kHttp1 : config::AppProtocol::kHttp2;
    clusters_.clear();
    server->hold = true;
    Fill("POST");
    Start(false);
    Send("some", false);
    http::testing::Exchange& exchange = Exchange(*server);
    server->connection(0).Answer();
    ASSERT_TRUE(Finish());
    EXPECT_EQ(downstream_.body, "ok");
    ASSERT_TRUE(RunUntil([&] { return exchange.ends == 1; }));
    Send("more", true);
    Settle();
    EXPECT_EQ(exchange.body, "some");
  }
}

TEST_F(RouterTest, AResponseThatBreaksOffIsBrokenOffDownstream) {
  auto server = Serve();
  Main(*server);
  server->hold = true;
  Start();
  http::testing::Exchange& exchange = Exchange(*server);
  http::ResponseHead head;
  head.status = 200;
  head.headers.Add("content-length", "100");
  exchange.stream->SendHeaders(head, false);
  ASSERT_TRUE(RunUntil([&] { return downstream_.status == 200; }));
  server->connection(0).Reset();
  ASSERT_TRUE(Finish());
  EXPECT_TRUE(downstream_.broken);
  EXPECT_FALSE(downstream_.complete);
  EXPECT_FALSE(downstream_.replied);
  EXPECT_FALSE(downstream_.flags.empty());
}

TEST_F(RouterTest, ASlowEndpointStopsTheClientAndMemoryStaysBounded) {
  auto server = Serve(kH2);
  Main(*server)->protocol = config::AppProtocol::kHttp2;
  server->hold = true;
  Fill("POST");
  Start(false);
  http::testing::Exchange& exchange = Exchange(*server);
  exchange.stream->ReadDisable(true);
  const std::string chunk(16 * 1024, 'x');
  size_t sent = 0;
  while (downstream_.disabled == 0 && sent < (64u << 20)) {
    Send(chunk, false);
    sent += chunk.size();
    dispatcher_.RunTurn(false);
  }
  EXPECT_EQ(downstream_.disabled, 1);
  exchange.stream->ReadDisable(false);
  ASSERT_TRUE(RunUntil([&] { return downstream_.disabled == 0; }));
  Send("", true);
  ASSERT_TRUE(RunUntil([&] { return exchange.complete; }));
  EXPECT_EQ(exchange.body.size(), sent);
}

TEST_F(RouterTest, ASlowClientStopsTheEndpoint) {
  auto server = Serve(kH2);
  Main(*server)->protocol = config::AppProtocol::kHttp2;
  server->body = std::string(8 << 20, 'x');
  Start();
  router_->ReadDisable(true);
  Settle();
  const size_t before = downstream_.body.size();
  EXPECT_LE(before, 1u << 20);
  for (int i = 0; i < 20; ++i) Settle();
  EXPECT_LE(downstream_.body.size(), 1u << 20);
  router_->ReadDisable(false);
  ASSERT_TRUE(Finish());
  EXPECT_EQ(downstream_.body.size(), server->body.size());
}

TEST_F(RouterTest, BodyThatWaitsForAConnectionStopsTheClientAndHasALimit) {
  auto server = Serve();
  TestServer::Options options;
  options.mute = true;
  auto config = Main(*server);
  config->breakers.max_connections = 1;
  server->hold = true;
  Router first(dispatcher_);
  RecordingDownstream other;
  http::RequestHead head;
  http::testing::FillRequest(head, "GET", "/");
  context_.choice = {&table_config_, &host_, &route_};
  first.Start(other, context_, head, true);  // takes the one connection
  Exchange(*server);
  Fill("POST");
  Start(false);
  Send(std::string(300 * 1024, 'x'), false);
  EXPECT_EQ(downstream_.disabled, 1);
  Send(std::string(800 * 1024, 'x'), false);
  ASSERT_TRUE(downstream_.replied);
  EXPECT_EQ(downstream_.reply.status, 413);
  EXPECT_EQ(downstream_.reason, kReasonBufferLimit);
  EXPECT_THAT(downstream_.reply.sentence, HasSubstr("1048576 bytes"));
  first.Cancel();
}

TEST_F(RouterTest, TheEndpointSeesTheRewrittenPathAndTheChangedHeaders) {
  auto server = Serve();
  Main(*server);
  server->hold = true;
  route_.match.path = {.kind = config::PathMatch::Kind::kPathPrefix, .text = "/api"};
  action().prefix_rewrite = "/";
  action().has_prefix_rewrite = true;
  action().host_rewrite = "other.host";
  action().clusters[0].request_headers.set = {{"x-cluster", "main"}};
  action().clusters[0].response_headers.add = {{"x-from", "main"}};
  host_.request_headers.remove = {"x-secret"};
  table_config_.response_headers.set = {{"x-table", "1"}};
  Fill("GET", "/api/items?x=1");
  head_.headers.Add("x-secret", "s");
  Start();
  http::testing::Exchange& exchange = Exchange(*server);
  EXPECT_EQ(exchange.path, "/items?x=1");
  EXPECT_EQ(exchange.authority, "other.host");
  EXPECT_THAT(exchange.headers, HasSubstr("x-cluster: main"));
  EXPECT_THAT(exchange.headers, Not(HasSubstr("x-secret")));
  server->connection(0).Answer();
  ASSERT_TRUE(Finish());
  EXPECT_THAT(downstream_.headers, HasSubstr("x-from: main"));
  EXPECT_THAT(downstream_.headers, HasSubstr("x-table: 1"));
}

TEST_F(RouterTest, AStickyClientIsGivenItsCookie) {
  auto server = Serve();
  Main(*server);
  action().hash = {{.kind = config::HashPolicy::Kind::kCookie,
                    .name = "sid",
                    .cookie_ttl = std::chrono::seconds(60)}};
  Get();
  EXPECT_THAT(downstream_.headers, HasSubstr("set-cookie: sid="));
  Fill();
  head_.headers.Add("cookie", "sid=1");
  Start();
  ASSERT_TRUE(Finish());
  EXPECT_THAT(downstream_.headers, Not(HasSubstr("set-cookie")));
}

TEST_F(RouterTest, WhatTheClientSpokeIsToldOnlyToASidecarAndOnlyIfNobodyDeclaredIt) {
  SetSecret();
  TestServer::Options options;
  options.protocol = kH2;
  options.tls = ServerTls();
  TestServer mesh(dispatcher_, options);
  auto plain = Serve(kH2);
  struct Case {
    bool mesh;
    http::Protocol client;
    config::AppProtocol declared;
    bool told;
  };
  for (const Case& one : {Case{true, kH2, config::AppProtocol::kAuto, true},
                          Case{true, kH1, config::AppProtocol::kAuto, false},
                          Case{true, kH2, config::AppProtocol::kHttp2, false},
                          Case{false, kH2, config::AppProtocol::kAuto, false}}) {
    TestServer& server = one.mesh ? mesh : *plain;
    auto config = Main(server);
    config->endpoints = {one.mesh ? MeshEndpoint(server.address())
                                  : PlainEndpoint(server.address())};
    config->protocol = one.declared;
    clusters_.clear();
    Settle();
    Fill("GET", "/", one.client);
    Start();
    ASSERT_TRUE(Finish());
    EXPECT_EQ(downstream_.status, 200) << downstream_.reply.sentence;
    const auto& last = server.connection(server.accepted() - 1).requests().back();
    EXPECT_EQ(last->headers.find("x-countersign-downstream-protocol: HTTP/2") != std::string::npos,
              one.told);
  }
}

TEST_F(RouterTest, RedirectsAndDirectResponsesNeedNoEndpoint) {
  route_.action = config::Route::Action::kRedirect;
  route_.redirect = {.status = 308, .scheme = "https"};
  route_.response_headers.set = {{"x-a", "1"}};
  Fill("GET", "/x?y");
  Start();
  EXPECT_EQ(downstream_.status, 308);
  EXPECT_THAT(downstream_.headers, HasSubstr("location: https://"));
  EXPECT_THAT(downstream_.headers, HasSubstr("/x?y"));
  EXPECT_THAT(downstream_.headers, HasSubstr("x-a: 1"));
  EXPECT_THAT(downstream_.headers, HasSubstr("x-countersign-reason: redirect"));
  EXPECT_TRUE(downstream_.complete);
  EXPECT_EQ(router_->info().attempts, 0u);
  EXPECT_EQ(router_->info().reason, kReasonRedirect);

  route_.action = config::Route::Action::kDirectResponse;
  route_.direct = {.status = 418, .body = "teapot"};
  Fill();
  Start();
  EXPECT_EQ(downstream_.status, 418);
  EXPECT_EQ(downstream_.body, "teapot");
  EXPECT_THAT(downstream_.headers, HasSubstr("x-countersign-reason: direct_response"));
  EXPECT_EQ(router_->info().reason, kReasonDirectResponse);
  EXPECT_THAT(downstream_.headers, HasSubstr("content-length: 6"));
  Fill("HEAD");
  Start();
  EXPECT_EQ(downstream_.body, "");
  EXPECT_THAT(downstream_.headers, HasSubstr("content-length: 6"));
  EXPECT_TRUE(downstream_.complete);
}

TEST_F(RouterTest, FaultsDelayAndAbortAsThePolicySays) {
  auto server = Serve();
  Main(*server);
  route_.fault = {.delay_per_million = 1'000'000, .delay = milliseconds(500)};
  Start();
  Settle();
  EXPECT_EQ(server->requests(), 0u);
  Advance(milliseconds(499));
  EXPECT_EQ(server->requests(), 0u);
  clock_.Advance(milliseconds(1));
  ASSERT_TRUE(Finish());
  EXPECT_EQ(downstream_.body, "ok");
  EXPECT_EQ(router_->info().flags, kDelayInjected);
  EXPECT_THAT(stats_.Serialize(),
              HasSubstr("faults_injected_total{cluster=\"main\",fault=\"delay\"} 1\n"));

  route_.fault = {.abort_per_million = 1'000'000, .abort_status = 429, .abort_grpc_status = 8};
  Fill();
  Start();
  EXPECT_EQ(downstream_.reply.status, 429);
  EXPECT_EQ(downstream_.flags, kFaultInjected);
  Fill("POST", "/s/m", kH2);
  head_.headers.Add("content-type", "application/grpc");
  Start();
  EXPECT_EQ(downstream_.reply.grpc_status, 8);
  EXPECT_EQ(server->requests(), 1u);
  // Of a route that leads to no cluster, too: the policy is about the destination.
  route_.action = config::Route::Action::kRedirect;
  Fill();
  Start();
  EXPECT_EQ(downstream_.flags, kFaultInjected);
  EXPECT_THAT(stats_.Serialize(),
              HasSubstr("faults_injected_total{cluster=\"main\",fault=\"abort\"} 3\n"));
}

TEST_F(RouterTest, ARequestWithoutARouteAClusterOrAnEndpointIsToldWhich) {
  Fill("GET", "/");
  router_->Reset();
  RecordingDownstream none;
  context_.choice = {&table_config_, nullptr, nullptr};
  router_->Start(none, context_, head_, true);
  EXPECT_EQ(none.reply.status, 404);
  EXPECT_EQ(none.flags, kNoRoute);
  EXPECT_EQ(none.reason, "no_route");
  EXPECT_THAT(none.reply.sentence, HasSubstr("no virtual host takes the authority"));

  Start();
  EXPECT_EQ(downstream_.reply.status, 503);
  EXPECT_EQ(downstream_.flags, kNoCluster);
  EXPECT_THAT(downstream_.reply.sentence, HasSubstr("`main`"));

  Main(std::vector<net::Address>{});
  Fill();
  Start();
  EXPECT_EQ(downstream_.flags, kNoHealthyUpstream);
  EXPECT_EQ(downstream_.reason, "no_healthy_endpoint");
}

TEST_F(RouterTest, AnOpenCircuitBreakerIsNamed) {
  auto server = Serve();
  Main(*server)->breakers.max_requests = 0;
  Start();
  ASSERT_TRUE(Finish());
  EXPECT_EQ(downstream_.flags, kUpstreamOverflow);
  EXPECT_EQ(downstream_.reason, "upstream_overflow");
  EXPECT_EQ(router_->info().attempts, 1u);  // never again
}

TEST_F(RouterTest, AnEndpointThatBreaksTheProtocolIsSaidTo) {
  auto server = Serve();
  Main(*server);
  server->hold = true;
  Start();
  Exchange(*server);
  server->connection(0).Write("SSH-2.0-OpenSSH_9.2\r\n\r\n");
  ASSERT_TRUE(Finish());
  EXPECT_EQ(downstream_.reply.status, 502);
  EXPECT_EQ(downstream_.flags, kUpstreamProtocol);
  EXPECT_THAT(downstream_.reply.sentence, HasSubstr(server->address().ToString()));
}

}  // namespace
}  // namespace countersign::router
