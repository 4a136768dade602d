// How tunnels end: each direction on its own, in both versions of HTTP.
#include <string>

#include "proxy/router/router_fixture.h"

namespace countersign::router {
namespace {

using buffer::CloseReason;
using http::StreamEnd;
using std::chrono::milliseconds;

class RouterTunnelEndsTest : public RouterFixture,
                             public ::testing::WithParamInterface<http::Protocol> {
 protected:
  void SetUp() override {
    Main(*server_)->protocol =
        GetParam() == kH1 ? config::AppProtocol::kHttp1 : config::AppProtocol::kHttp2;
    server_->hold = true;
    Fill("GET", "/ws");
    head_.upgrade = "websocket";
    Start(false);
    exchange_ = &Exchange(*server_);
    http::ResponseHead head;
    head.status = 101;
    exchange_->stream->SendHeaders(head, false);
    ASSERT_TRUE(RunUntil([&] { return downstream_.status == 101; }));
  }
  void Say(absl::string_view text, bool end) {
    buffer::Buffer data;
    data.Append(text);
    exchange_->stream->SendData(data, end);
  }
  TestServer::Connection& connection() { return server_->connection(0); }
  // The endpoint hears of a reset: of its stream, and in HTTP/1 of its connection.
  bool IsReset() {
    if (!RunUntil([&] { return exchange_->ends == 1; })) return false;
    if (GetParam() == kH2) return exchange_->end == StreamEnd::kPeerReset;
    return exchange_->end == StreamEnd::kConnectionLost &&
           connection().close_reason() == CloseReason::kPeerReset;
  }

  std::unique_ptr<TestServer> server_ = Serve(GetParam());
  http::testing::Exchange* exchange_ = nullptr;
};

TEST_P(RouterTunnelEndsTest, TheClientsEndArrivesWhileTheAnswerGoesOn) {
  Send("all", true);
  ASSERT_TRUE(RunUntil([&] { return exchange_->complete; }));
  EXPECT_EQ(exchange_->body, "all");
  EXPECT_EQ(exchange_->ends, 0);
  // No time-out of the connection's counts meanwhile.
  Advance(milliseconds(100'000));
  Say("answer", false);
  ASSERT_TRUE(RunUntil([&] { return downstream_.body == "answer"; }));
  EXPECT_FALSE(downstream_.done());
  Say(" whole", true);
  ASSERT_TRUE(Finish());
  EXPECT_EQ(downstream_.body, "answer whole");
  EXPECT_FALSE(downstream_.broken);
  ASSERT_TRUE(RunUntil([&] { return exchange_->ends == 1; }));
  EXPECT_EQ(exchange_->end, StreamEnd::kFinished);
  if (GetParam() == kH2) return;
  EXPECT_TRUE(RunUntil([&] { return server_->open() == 0; }));
  EXPECT_EQ(connection().close_reason(), CloseReason::kFinished);
}

TEST_P(RouterTunnelEndsTest, TheEndpointsEndArrivesWhileTheClientGoesOn) {
  Say("bye", true);
  ASSERT_TRUE(RunUntil([&] { return downstream_.complete; }));
  EXPECT_EQ(downstream_.body, "bye");
  Advance(milliseconds(100'000));
  Send("more", false);
  ASSERT_TRUE(RunUntil([&] { return exchange_->body == "more"; }));
  EXPECT_EQ(exchange_->ends, 0);
  Send(" and last", true);
  ASSERT_TRUE(RunUntil([&] { return exchange_->ends == 1; }));
  EXPECT_EQ(exchange_->body, "more and last");
  EXPECT_EQ(exchange_->end, StreamEnd::kFinished);
  EXPECT_FALSE(downstream_.broken);
}

TEST_P(RouterTunnelEndsTest, AClientThatIsGoneIsAReset) {
  Send("half", false);
  ASSERT_TRUE(RunUntil([&] { return exchange_->body == "half"; }));
  router_->Cancel();
  EXPECT_TRUE(IsReset());
  EXPECT_FALSE(exchange_->complete);
}

TEST_P(RouterTunnelEndsTest, AClientThatIsGoneAfterItsEndIsAReset) {
  Send("all", true);
  ASSERT_TRUE(RunUntil([&] { return exchange_->complete; }));
  router_->Cancel();
  EXPECT_TRUE(IsReset());
}

TEST_P(RouterTunnelEndsTest, AnEndpointThatIsGoneBreaksTheTunnel) {
  connection().Reset();
  ASSERT_TRUE(Finish());
  EXPECT_TRUE(downstream_.broken);
  EXPECT_FALSE(downstream_.complete);
}

TEST_P(RouterTunnelEndsTest, AnEndpointThatIsGoneAfterItsEndBreaksTheTunnel) {
  Say("bye", true);
  ASSERT_TRUE(RunUntil([&] { return downstream_.complete; }));
  connection().Reset();
  EXPECT_TRUE(RunUntil([&] { return downstream_.broken; }));
}

TEST_P(RouterTunnelEndsTest, WhatTheEndpointHasNotTakenOutlivesTheClient) {
  const std::string large(16 << 20, 'x');
  exchange_->stream->ReadDisable(true);
  Say("bye", true);
  Send(large, true);
  ASSERT_TRUE(RunUntil([&] { return downstream_.complete; }));
  Settle();
  router_->Finish();
  router_->Reset();
  EXPECT_FALSE(router_->idle());
  Advance(milliseconds(10'000));
  ASSERT_LT(exchange_->body.size(), large.size());
  exchange_->stream->ReadDisable(false);
  ASSERT_TRUE(RunUntil([&] { return exchange_->ends == 1; }));
  EXPECT_EQ(exchange_->end, StreamEnd::kFinished);
  EXPECT_TRUE(exchange_->body == large);
  EXPECT_TRUE(RunUntil([&] { return router_->idle(); }));
}

TEST_P(RouterTunnelEndsTest, AnEndpointThatTakesNothingIsNotWaitedForForever) {
  exchange_->stream->ReadDisable(true);
  Say("bye", true);
  Send(std::string(16 << 20, 'x'), true);
  ASSERT_TRUE(RunUntil([&] { return downstream_.complete; }));
  Settle();
  router_->Finish();
  Advance(milliseconds(300'000));
  EXPECT_TRUE(router_->idle());
  EXPECT_TRUE(IsReset());
}

INSTANTIATE_TEST_SUITE_P(Versions, RouterTunnelEndsTest,
                         ::testing::Values(http::Protocol::kHttp11, http::Protocol::kHttp2),
                         [](const auto& info) {
                           return info.param == http::Protocol::kHttp2 ? "Http2" : "Http1";
                         });

class RouterHttp2TunnelTest : public RouterTunnelEndsTest {};

// RFC 9113, section 8.1: of a request this says that its rest is not wanted, of a tunnel's client
// that nobody hears it.
TEST_P(RouterHttp2TunnelTest, AnEndpointThatWantsNoMoreBreaksTheTunnel) {
  Say("bye", true);
  ASSERT_TRUE(RunUntil([&] { return downstream_.complete; }));
  exchange_->stream->StopRequest();
  EXPECT_TRUE(RunUntil([&] { return downstream_.broken; }));
}

INSTANTIATE_TEST_SUITE_P(Versions, RouterHttp2TunnelTest,
                         ::testing::Values(http::Protocol::kHttp2));

}  // namespace
}  // namespace countersign::router
