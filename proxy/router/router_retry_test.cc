// What is tried again, what is not, and how often.
#include <string>

#include "proxy/router/router_fixture.h"

namespace countersign::router {
namespace {

using config::RetryPolicy;
using std::chrono::milliseconds;
using ::testing::HasSubstr;
using ::testing::Not;
using Kind = upstream::CircuitBreakers::Kind;

class RouterRetryTest : public RouterFixture {
 protected:
  // An HTTP/2 server that holds its answers.
  std::unique_ptr<TestServer> Held() {
    auto server = Serve(kH2);
    Main(*server)->protocol = config::AppProtocol::kHttp2;
    server->hold = true;
    return server;
  }
  // Breaks the request off, RST_STREAM.
  void ResetRequest(TestServer& server, size_t request) {
    http::testing::Exchange& exchange = Exchange(server, 0, request);
    exchange.stream->Reset();
    exchange.stream = nullptr;
  }
  // Starts, and has the first try answered 503 and those after it 200: how soon they come is
  // chance.
  void StartRefusedOnce(TestServer& server) {
    const size_t before = server.requests();
    server.hold = true;
    Start();
    ASSERT_TRUE(RunUntil([&] { return server.requests() > before; }));
    server.hold = false;
    server.status = 503;
    server.connection(0).Answer();
    server.status = 200;
  }
  // Until a further request has come to the server.
  bool Comes(TestServer& server, size_t requests) {
    return RunUntil([&] {
             clock_.Advance(milliseconds(1));
             return server.requests() >= requests || downstream_.done();
           }) &&
           server.requests() >= requests;
  }
};

TEST_F(RouterRetryTest, AnEndpointThatCannotBeReachedIsLeftForAnother) {
  auto server = Serve();
  Main({DeadAddress(), DeadAddress(), server->address()});
  for (int i = 0; i < 10; ++i) {
    Fill();
    Start();
    ASSERT_TRUE(FinishWithRetries());
    EXPECT_EQ(downstream_.body, "ok");
  }
  EXPECT_EQ(Count(*clusters_["main"], Kind::kRetries), 0u);
}

TEST_F(RouterRetryTest, WhenNoEndpointCanBeReachedTheAnswerSaysHowOftenItWasTried) {
  Main({DeadAddress(), DeadAddress(), DeadAddress(), DeadAddress()});
  Start();
  ASSERT_TRUE(FinishWithRetries());
  EXPECT_EQ(downstream_.reply.status, 503);
  EXPECT_EQ(downstream_.flags.ToString(), "UF,URX");
  EXPECT_EQ(downstream_.reason, "connect_failure");
  EXPECT_EQ(router_->info().attempts, 3u);
  EXPECT_THAT(downstream_.reply.sentence, HasSubstr("nothing was sent"));
  EXPECT_THAT(downstream_.reply.sentence, HasSubstr("It was tried 3 times."));
  EXPECT_THAT(downstream_.reply.sentence, HasSubstr("limit of retries"));
  EXPECT_EQ(Count(*clusters_["main"], Kind::kRetries), 0u);
}

TEST_F(RouterRetryTest, ABodyThatCameWhileNobodyWasReachedGoesToTheOneThatIs) {
  auto server = Serve();
  Main({DeadAddress(), server->address()});
  const std::string body(200 * 1024, 'b');  // more than is kept, but none of it was sent
  for (int i = 0; i < 6; ++i) {
    Fill("POST");
    Start(false);
    Send(body, true);
    ASSERT_TRUE(FinishWithRetries());
    EXPECT_EQ(downstream_.body, "ok");
    http::testing::Exchange& exchange = *server->connection(0).requests().back();
    EXPECT_EQ(exchange.body.size(), body.size());
  }
}

TEST_F(RouterRetryTest, WhatMayHaveReachedTheApplicationIsNotRepeatedByDefault) {
  auto server = Held();
  Start();
  ResetRequest(*server, 0);
  ASSERT_TRUE(FinishWithRetries());
  EXPECT_EQ(downstream_.reply.status, 503);
  EXPECT_EQ(downstream_.flags, kUpstreamReset);
  EXPECT_EQ(router_->info().attempts, 1u);
  EXPECT_EQ(server->requests(), 1u);

  server = Serve(kH1);
  Main(*server);
  clusters_.clear();
  server->hold = true;
  Fill();
  Start();
  Exchange(*server);
  server->connection(0).Reset();
  ASSERT_TRUE(FinishWithRetries());
  EXPECT_EQ(downstream_.flags, kUpstreamTermination);
  EXPECT_THAT(downstream_.reply.sentence, HasSubstr("is not known"));
  EXPECT_EQ(router_->info().attempts, 1u);
}

TEST_F(RouterRetryTest, AStreamThatTheEndpointRefusesIsRepeated) {
  auto server = Held();
  // It takes one stream at a time, and says so only when a second has come.
  TestServer::Options options;
  options.protocol = kH2;
  TestServer other(dispatcher_, options);
  Start();
  Exchange(*server);
  // GOAWAY with a last stream before this one: what draining servers say of streams that crossed
  // it.
  const char goaway[] = "\x00\x00\x08\x07\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00";
  server->connection(0).Write(absl::string_view(goaway, sizeof goaway - 1));
  ASSERT_TRUE(Comes(*server, 2));
  Exchange(*server, 1, 0);
  server->connection(1).Answer();
  ASSERT_TRUE(Finish());
  EXPECT_EQ(downstream_.body, "ok");
  EXPECT_EQ(router_->info().attempts, 2u);
}

TEST_F(RouterRetryTest, APolicyThatNamesResetsRepeatsTheWholeRequest) {
  auto server = Held();
  action().retry = {.on = RetryPolicy::kReset, .num_retries = 2};
  Fill("POST", "/x");
  Start(false);
  Send("first ", false);
  http::testing::Exchange& first = Exchange(*server);
  ASSERT_TRUE(RunUntil([&] { return first.body == "first "; }));
  ResetRequest(*server, 0);
  ASSERT_TRUE(Comes(*server, 2));
  Send("second", true);
  http::testing::Exchange& second = Exchange(*server, 0, 1);
  ASSERT_TRUE(RunUntil([&] { return second.complete; }));
  EXPECT_EQ(second.body, "first second");
  server->connection(0).Answer();
  ASSERT_TRUE(Finish());
  EXPECT_EQ(downstream_.body, "ok");
  EXPECT_EQ(router_->info().attempts, 2u);
  EXPECT_EQ(Count(*clusters_["main"], Kind::kRetries), 0u);
}

TEST_F(RouterRetryTest, TrailersAreRepeatedToo) {
  auto server = Held();
  action().retry = {.on = RetryPolicy::kReset, .num_retries = 1};
  Fill("POST", "/x");
  Start(false);
  Send("body", false);
  http::HeaderMap trailers;
  trailers.Add("x-sum", "9");
  router_->SendTrailers(trailers);
  ResetRequest(*server, 0);
  ASSERT_TRUE(Comes(*server, 2));
  http::testing::Exchange& second = Exchange(*server, 0, 1);
  ASSERT_TRUE(RunUntil([&] { return second.complete; }));
  EXPECT_EQ(second.body, "body");
  EXPECT_THAT(second.trailers, HasSubstr("x-sum: 9"));
}

TEST_F(RouterRetryTest, ABodyThatIsTooLargeToKeepIsNotRepeatedAndTheAnswerSaysSo) {
  auto server = Held();
  action().retry = {.on = RetryPolicy::kReset, .num_retries = 2};
  Fill("POST", "/x");
  Start(false);
  http::testing::Exchange& exchange = Exchange(*server);
  Send(std::string(RequestBody::kMaxKept + 1, 'x'), true);
  ASSERT_TRUE(RunUntil([&] { return exchange.complete; }));
  ResetRequest(*server, 0);
  ASSERT_TRUE(FinishWithRetries());
  EXPECT_EQ(router_->info().attempts, 1u);
  EXPECT_EQ(downstream_.flags, kUpstreamReset);
  EXPECT_THAT(downstream_.reply.sentence, HasSubstr("64 KiB"));
  EXPECT_THAT(stats_.Serialize(),
              HasSubstr("retries_refused_total{cluster=\"main\",reason=\"body\"} 1\n"));
}

TEST_F(RouterRetryTest, AStatusThatThePolicyNamesIsRepeatedAndTheClientSeesOnlyTheLastAnswer) {
  for (const http::Protocol protocol : {kH1, kH2}) {
    auto server = Serve(protocol);
    Main(*server)->protocol =
        protocol == kH1 ? config::AppProtocol::kHttp1 : config::AppProtocol::kHttp2;
    clusters_.clear();
    action().retry = {.on = RetryPolicy::k5xx, .num_retries = 2};
    Fill();
    StartRefusedOnce(*server);
    ASSERT_TRUE(FinishWithRetries());
    EXPECT_EQ(downstream_.status, 200);
    EXPECT_EQ(downstream_.body, "ok");
    EXPECT_EQ(router_->info().attempts, 2u);
    EXPECT_TRUE(router_->info().flags.empty());

    server->status = 503;
    Fill();
    Start();
    ASSERT_TRUE(FinishWithRetries());
    EXPECT_EQ(downstream_.status, 503);
    EXPECT_FALSE(downstream_.replied);  // it is the endpoint's own
    EXPECT_EQ(router_->info().attempts, 3u);
    EXPECT_EQ(router_->info().flags, kUpstreamRetryLimit);
  }
}

TEST_F(RouterRetryTest, RetriesAreCountedByWhatBecameOfThem) {
  auto server = Serve();
  Main(*server);
  action().retry = {.on = RetryPolicy::k5xx, .num_retries = 2};
  Get();
  EXPECT_THAT(stats_.Serialize(), Not(HasSubstr("countersign_cluster_retries")));
  Fill();
  StartRefusedOnce(*server);
  ASSERT_TRUE(FinishWithRetries());
  EXPECT_THAT(stats_.Serialize(),
              HasSubstr("countersign_cluster_retries_total{cluster=\"main\"} 1\n"));
  EXPECT_THAT(stats_.Serialize(),
              HasSubstr("countersign_cluster_retries_succeeded_total{cluster=\"main\"} 1\n"));
  EXPECT_THAT(stats_.Serialize(), Not(HasSubstr("countersign_cluster_retries_refused_total")));

  server->status = 503;
  Fill();
  Start();
  ASSERT_TRUE(FinishWithRetries());
  EXPECT_THAT(stats_.Serialize(),
              HasSubstr("countersign_cluster_retries_total{cluster=\"main\"} 3\n"));
  EXPECT_THAT(stats_.Serialize(),
              HasSubstr("countersign_cluster_retries_succeeded_total{cluster=\"main\"} 1\n"));
  EXPECT_THAT(stats_.Serialize(),
              HasSubstr("retries_refused_total{cluster=\"main\",reason=\"limit\"} 1\n"));

  clusters_.clear();  // the series go with their cluster
  Settle();
  router_->Reset();
  EXPECT_THAT(stats_.Serialize(), Not(HasSubstr("countersign_cluster_retries")));
}

TEST_F(RouterRetryTest, ACallThatEndsUnavailableInItsHeadIsRepeatedIfThePolicyNamesIt) {
  auto server = Held();
  action().retry = {.on = RetryPolicy::kGrpcUnavailable, .num_retries = 1};
  Fill("POST", "/s/m", kH2);
  head_.headers.Add("content-type", "application/grpc");
  Start();
  http::ResponseHead head;
  head.status = 200;
  head.headers.Add("grpc-status", "14");
  Exchange(*server).stream->SendHeaders(head, true);
  ASSERT_TRUE(Comes(*server, 2));
  head.headers.Set("grpc-status", "0");
  Exchange(*server, 0, 1).stream->SendHeaders(head, true);
  ASSERT_TRUE(Finish());
  EXPECT_THAT(downstream_.headers, HasSubstr("grpc-status: 0"));
}

TEST_F(RouterRetryTest, NothingIsRepeatedOnceTheClientHasSeenSomething) {
  auto server = Held();
  action().retry = {.on = ~0u, .num_retries = 5};
  Start();
  http::ResponseHead head;
  head.status = 200;
  Exchange(*server).stream->SendHeaders(head, false);
  ASSERT_TRUE(RunUntil([&] { return downstream_.status == 200; }));
  ResetRequest(*server, 0);
  ASSERT_TRUE(FinishWithRetries());
  EXPECT_TRUE(downstream_.broken);
  EXPECT_EQ(router_->info().attempts, 1u);
}

TEST_F(RouterRetryTest, TheClustersBudgetLimitsRetries) {
  auto server = Held();
  configs_["main"]->breakers.max_retries = 0;
  configs_["main"]->breakers.retry_budget_percent = 0;
  action().retry = {.on = RetryPolicy::kReset, .num_retries = 3};
  Start();
  ResetRequest(*server, 0);
  ASSERT_TRUE(FinishWithRetries());
  EXPECT_EQ(router_->info().attempts, 1u);
  EXPECT_EQ(downstream_.flags.ToString(), "UO,UR");
  EXPECT_THAT(downstream_.reply.sentence, HasSubstr("retry budget"));
  EXPECT_THAT(stats_.Serialize(),
              HasSubstr("retries_refused_total{cluster=\"main\",reason=\"overflow\"} 1\n"));
  EXPECT_THAT(stats_.Serialize(), Not(HasSubstr("countersign_cluster_retries_total")));
}

TEST_F(RouterRetryTest, AClientThatLeavesWhileItWaitsForARetryGivesItsShareBack) {
  auto server = Held();
  action().retry = {
      .on = RetryPolicy::kReset,
      .num_retries = 3,
      .backoff_base = milliseconds(1'000'000'000),  // which chance does not bring to 0
      .backoff_max = milliseconds(1'000'000'000)};
  Start();
  ResetRequest(*server, 0);
  ASSERT_TRUE(RunUntil([&] { return Count(*clusters_["main"], Kind::kRetries) == 1; }));
  router_->Cancel();
  EXPECT_EQ(Count(*clusters_["main"], Kind::kRetries), 0u);
  Advance(milliseconds(1'000'000'000));
  EXPECT_EQ(server->requests(), 1u);
  EXPECT_EQ(downstream_.callbacks, 0);
}

TEST_F(RouterRetryTest, ATryThatTakesTooLongIsRepeatedElsewhere) {
  auto slow = Serve(kH1);
  slow->hold = true;
  auto fast = Serve(kH1);
  Main({slow->address(), fast->address()});
  action().retry = {
      .on = RetryPolicy::k5xx, .num_retries = 1, .per_try_timeout = milliseconds(100)};
  for (int i = 0; i < 6; ++i) {
    const size_t held = slow->requests();
    Fill();
    Start();
    ASSERT_TRUE(RunUntil([&] { return downstream_.done() || slow->requests() > held; }));
    if (!downstream_.done()) {
      Advance(milliseconds(100));  // the try's time is up
      Advance(milliseconds(25));   // and so is the longest wait before the next
    }
    ASSERT_TRUE(Finish());
    EXPECT_EQ(downstream_.status, 200) << downstream_.reply.sentence;
  }
}

TEST_F(RouterRetryTest, ATryThatTakesTooLongEndsTheRequestWhereThePolicyNamesNothing) {
  auto server = Held();
  action().retry = {
      .on = config::kDefaultRetryOn, .num_retries = 2, .per_try_timeout = milliseconds(100)};
  Start();
  http::testing::Exchange& exchange = Exchange(*server);
  Advance(milliseconds(99));
  EXPECT_FALSE(downstream_.done());
  Advance(milliseconds(1));
  ASSERT_TRUE(downstream_.replied);
  EXPECT_EQ(downstream_.reply.status, 504);
  EXPECT_EQ(downstream_.flags, kUpstreamTimeout);
  EXPECT_EQ(downstream_.reason, "per_try_timeout");
  ASSERT_TRUE(RunUntil([&] { return exchange.ends == 1; }));  // and is cancelled
}

TEST_F(RouterRetryTest, OnlyASidecarIsBelievedThatNothingReachedItsApplication) {
  SetSecret();
  // An application behind a tunnel: the peer is known, and the answer is the application's own.
  TestServer::Options options;
  options.tls = ServerTls(upstream::testing::kTheirId, "h2");
  options.tunnel = true;
  TestServer server(dispatcher_, options);
  server.status = 503;
  server.headers = {{"x-countersign-flags", "UF"}};
  auto cluster = AddCluster("main", std::vector<net::Address>{});
  config::Endpoint endpoint = MeshEndpoint(*net::Address::Parse("10.9.8.7:80"));
  endpoint.transport = config::EndpointTransport::kHbone;
  endpoint.tunnel = server.address();
  cluster->endpoints = {endpoint};
  Start();
  ASSERT_TRUE(FinishWithRetries());
  EXPECT_EQ(downstream_.status, 503);
  EXPECT_NE(router_->info().upstream_peer, nullptr);
  EXPECT_EQ(server.requests(), 1u);
}

}  // namespace
}  // namespace countersign::router
