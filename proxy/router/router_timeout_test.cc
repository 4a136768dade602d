// How long a request may take, and what its client is told then.
#include <string>

#include "proxy/router/router_fixture.h"

namespace countersign::router {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

class RouterTimeoutTest : public RouterFixture {
 protected:
  RouterTimeoutTest() : server_(Serve(kH2)) {
    Main(*server_)->protocol = config::AppProtocol::kHttp2;
    server_->hold = true;
  }
  void StartCall(absl::string_view timeout) {
    Fill("POST", "/s/m", kH2);
    head_.headers.Add("content-type", "application/grpc");
    if (!timeout.empty()) head_.headers.Add("grpc-timeout", timeout);
    Start();
  }
  http::ResponseHead Ok() {
    http::ResponseHead head;
    head.status = 200;
    return head;
  }

  std::unique_ptr<TestServer> server_;
};

TEST_F(RouterTimeoutTest, TheRoutesTimeoutAnswers504AndCancelsTheRequest) {
  action().timeout = milliseconds(1000);
  Start();
  http::testing::Exchange& exchange = Exchange(*server_);
  Advance(milliseconds(999));
  EXPECT_FALSE(downstream_.done());
  Advance(milliseconds(1));
  ASSERT_TRUE(downstream_.replied);
  EXPECT_EQ(downstream_.reply.status, 504);
  EXPECT_EQ(downstream_.flags, kUpstreamTimeout);
  EXPECT_EQ(downstream_.reason, "route_timeout");
  EXPECT_THAT(downstream_.reply.sentence, HasSubstr("1000 ms"));
  EXPECT_THAT(downstream_.reply.sentence, HasSubstr("`route`"));
  ASSERT_TRUE(RunUntil([&] { return exchange.ends == 1; }));
}

TEST_F(RouterTimeoutTest, TheTimeoutBeginsWhenTheClientHasSaidAll) {
  action().timeout = milliseconds(1000);
  Fill("POST");
  Start(false);
  Exchange(*server_);
  Advance(milliseconds(5000));  // a slow upload
  EXPECT_FALSE(downstream_.done());
  Send("x", true);
  Advance(milliseconds(999));
  EXPECT_FALSE(downstream_.done());
  Advance(milliseconds(1));
  EXPECT_TRUE(downstream_.replied);
}

TEST_F(RouterTimeoutTest, ATimeoutInMidResponseBreaksItOff) {
  action().timeout = milliseconds(1000);
  Start();
  Exchange(*server_).stream->SendHeaders(Ok(), false);
  ASSERT_TRUE(RunUntil([&] { return downstream_.status == 200; }));
  Advance(milliseconds(1000));
  EXPECT_TRUE(downstream_.broken);
  EXPECT_EQ(downstream_.flags, kUpstreamTimeout);
  EXPECT_EQ(downstream_.reason, "route_timeout");
}

TEST_F(RouterTimeoutTest, AnEarlierRequestsTimerDoesNotEndALaterOne) {
  action().timeout = milliseconds(1000);
  server_->hold = false;
  Get();
  server_->hold = true;
  Advance(milliseconds(900));
  Fill();
  Start();
  Advance(milliseconds(999));
  EXPECT_FALSE(downstream_.done());
  Advance(milliseconds(1));
  EXPECT_TRUE(downstream_.replied);
}

TEST_F(RouterTimeoutTest, NothingThatMovesForTooLongEndsIt) {
  context_.default_idle_timeout = milliseconds(300);
  Start();
  Exchange(*server_);
  Advance(milliseconds(300));
  ASSERT_TRUE(downstream_.replied);
  EXPECT_EQ(downstream_.reply.status, 504);
  EXPECT_EQ(downstream_.flags, kStreamIdleTimeout);

  Fill("POST");
  Start(false);
  Exchange(*server_, 0, 1);
  Advance(milliseconds(200));
  Send("x", false);  // moves
  Advance(milliseconds(299));
  EXPECT_FALSE(downstream_.done());
  Advance(milliseconds(1));
  EXPECT_EQ(downstream_.reply.status, 408);  // the client is slow
  EXPECT_EQ(downstream_.reason, "stream_idle_timeout");
}

TEST_F(RouterTimeoutTest, TheRoutesIdleTimeoutStandsForTheDefault) {
  context_.default_idle_timeout = milliseconds(300);
  action().idle_timeout = milliseconds(1000);
  Start();
  Exchange(*server_);
  Advance(milliseconds(900));
  EXPECT_FALSE(downstream_.done());
  Advance(milliseconds(100));
  EXPECT_TRUE(downstream_.replied);
}

TEST_F(RouterTimeoutTest, AResponseThatMovesIsNotIdle) {
  context_.default_idle_timeout = milliseconds(300);
  Start();
  http::testing::Exchange& exchange = Exchange(*server_);
  exchange.stream->SendHeaders(Ok(), false);
  for (int i = 1; i <= 10; ++i) {
    buffer::Buffer data;
    data.Append("x");
    exchange.stream->SendData(data, false);
    ASSERT_TRUE(RunUntil([&] { return downstream_.body.size() == static_cast<size_t>(i); }));
    Advance(milliseconds(200));
  }
  EXPECT_FALSE(downstream_.done());
  Advance(milliseconds(100));
  EXPECT_TRUE(downstream_.broken);
}

TEST_F(RouterTimeoutTest, TheClientsDeadlineEndsACallWithoutAnyPolicy) {
  StartCall("250m");
  Exchange(*server_);
  Advance(milliseconds(249));
  EXPECT_FALSE(downstream_.done());
  Advance(milliseconds(1));
  ASSERT_TRUE(downstream_.replied);
  EXPECT_EQ(downstream_.reply.grpc_status, 4);
  EXPECT_EQ(downstream_.reply.status, 504);
  EXPECT_EQ(downstream_.reason, "grpc_deadline");
}

TEST_F(RouterTimeoutTest, TheEndpointIsToldWhatIsLeftOfTheDeadline) {
  route_.fault = {.delay_per_million = 1'000'000, .delay = milliseconds(100)};
  StartCall("250m");
  Advance(milliseconds(100));
  EXPECT_THAT(Exchange(*server_).headers, HasSubstr("grpc-timeout: 150"));
}

TEST_F(RouterTimeoutTest, TheRouteMayShortenTheClientsDeadline) {
  action().max_grpc_timeout = milliseconds(100);
  StartCall("1H");
  EXPECT_THAT(Exchange(*server_).headers, HasSubstr("grpc-timeout: 100"));
  Advance(milliseconds(100));
  EXPECT_TRUE(downstream_.replied);
}

TEST_F(RouterTimeoutTest, ACallThatHasBegunIsToldInItsTrailersThatTheDeadlineHasPassed) {
  StartCall("250m");
  Exchange(*server_).stream->SendHeaders(Ok(), false);
  ASSERT_TRUE(RunUntil([&] { return downstream_.status == 200; }));
  Advance(milliseconds(250));
  EXPECT_TRUE(downstream_.complete);
  EXPECT_THAT(downstream_.trailers, HasSubstr("grpc-status: 4"));
  EXPECT_EQ(router_->info().flags, kUpstreamTimeout);
}

TEST_F(RouterTimeoutTest, ADeadlineOfSomethingElseThanACallMeansNothing) {
  Fill();
  head_.headers.Add("grpc-timeout", "1m");
  Start();
  Exchange(*server_);
  Advance(milliseconds(1000));
  EXPECT_FALSE(downstream_.done());
}

TEST_F(RouterTimeoutTest, TheDeadlineEndsAWaitForARetryToo) {
  Main({DeadAddress()});
  clusters_.clear();
  action().timeout = milliseconds(50);
  action().retry.backoff_base = action().retry.backoff_max = milliseconds(1'000'000);
  Start();
  ASSERT_TRUE(RunUntil(
      [&] { return Count(*clusters_["main"], upstream::CircuitBreakers::Kind::kRetries) == 1; }));
  Advance(milliseconds(50));
  ASSERT_TRUE(downstream_.replied);
  EXPECT_EQ(downstream_.flags, kUpstreamTimeout);
  EXPECT_EQ(Count(*clusters_["main"], upstream::CircuitBreakers::Kind::kRetries), 0u);
}

}  // namespace
}  // namespace countersign::router
