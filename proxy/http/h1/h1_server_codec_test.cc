#include "proxy/http/h1/h1_server_codec.h"

#include <memory>
#include <string>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "proxy/http/testing/recorders.h"

namespace countersign::http::h1 {
namespace {

using buffer::Buffer;
using testing::Drain;
using testing::Exchange;
using testing::Feed;

class H1ServerCodecTest : public ::testing::Test {
 protected:
  Exchange& last() { return *requests_.requests.back(); }
  size_t count() const { return requests_.requests.size(); }
  void AnswerAll(uint16_t status, const std::string& text) {
    requests_.on_request = [=](Exchange& exchange) { exchange.Respond(status, text); };
  }

  testing::ServerRecorder requests_;
  H1ServerCodec codec_{requests_, {}};
};

TEST_F(H1ServerCodecTest, ARequestAndItsAnswerArriveWhole) {
  Feed(codec_, "GET /a?b=c HTTP/1.1\r\nHost: shop\r\nX-One:  1 \r\nUser-Agent: curl\r\n\r\n");
  ASSERT_EQ(count(), 1u);
  EXPECT_EQ(last().method, "GET");
  EXPECT_EQ(last().path, "/a?b=c");
  EXPECT_EQ(last().authority, "shop");
  EXPECT_EQ(last().scheme, "http");
  EXPECT_EQ(last().headers, "x-one: 1\nuser-agent: curl\n");
  EXPECT_TRUE(last().complete);
  last().Respond(200, "hello");
  bool open = false;
  EXPECT_EQ(Drain(codec_, &open), "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");
  EXPECT_TRUE(open);
  EXPECT_EQ(last().ends, 1);
  EXPECT_EQ(last().end, StreamEnd::kFinished);
  EXPECT_EQ(codec_.active_streams(), 0u);
  EXPECT_EQ(requests_.gone, 1);
}

TEST_F(H1ServerCodecTest, PiecesOfAnySizeMakeTheSameRequest) {
  const std::string text =
      "\r\nPOST /x HTTP/1.1\r\nHost: shop\r\nTransfer-Encoding: chunked\r\n\r\n"
      "5;a=b\r\nhello\r\n6\r\n world\r\n0\r\nX-Sum: 7\r\nContent-Length: 3\r\n\r\n";
  for (size_t piece = 1; piece < text.size(); ++piece) {
    testing::ServerRecorder requests;
    H1ServerCodec codec(requests, {});
    Feed(codec, text, piece);
    ASSERT_EQ(requests.requests.size(), 1u) << piece;
    const Exchange& exchange = *requests.requests[0];
    EXPECT_EQ(exchange.body, "hello world") << piece;
    EXPECT_EQ(exchange.trailers, "x-sum: 7\n") << piece;
    EXPECT_TRUE(exchange.complete);
    EXPECT_EQ(codec.head_since(), Instant::max());
  }
}

TEST_F(H1ServerCodecTest, PipelinedRequestsAreAnsweredInOrder) {
  std::string all;
  for (int i = 0; i < 3; ++i) {
    absl::StrAppend(&all, "GET /", i, " HTTP/1.1\r\nHost: a\r\n\r\n");
  }
  Feed(codec_, all);
  ASSERT_EQ(count(), 1u);
  last().Respond(200, "a");
  EXPECT_NE(Drain(codec_).find("\r\n\r\na"), std::string::npos);
  ASSERT_EQ(count(), 2u);
  EXPECT_EQ(last().path, "/1");
  AnswerAll(200, "z");
  last().Respond(200, "b");
  const std::string rest = Drain(codec_);
  EXPECT_EQ(count(), 3u);
  EXPECT_LT(rest.find("\r\n\r\nb"), rest.find("\r\n\r\nz"));
}

TEST_F(H1ServerCodecTest, PipelinedBytesAreBounded) {
  Feed(codec_, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_FALSE(requests_.read_disabled);
  Feed(codec_, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n");
  EXPECT_FALSE(requests_.read_disabled);
  Feed(codec_, std::string(100'000, 'x'));
  EXPECT_TRUE(requests_.read_disabled);
  last().Respond(200, "a");
  Drain(codec_);
  EXPECT_FALSE(requests_.read_disabled);
  EXPECT_EQ(last().body.size(), 100'000u);
}

TEST_F(H1ServerCodecTest, HopByHopFieldsStayOnTheirHop) {
  Feed(codec_,
       "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, X-Secret, x-forwarded-client-cert\r\n"
       "Keep-Alive: 5\r\nProxy-Connection: x\r\nX-Secret: s\r\nTE: gzip, trailers\r\n"
       "X-Forwarded-Client-Cert: URI=spiffe://evil\r\nUpgrade: h2c\r\nHTTP2-Settings: AAM\r\n"
       "Accept: */*\r\n\r\n");
  ASSERT_EQ(count(), 1u);
  EXPECT_EQ(last().headers, "accept: */*\nte: trailers\n");
  EXPECT_EQ(last().upgrade, "");
}

TEST_F(H1ServerCodecTest, ConnectionOptionsCannotTakeTheFramingAway) {
  Feed(codec_,
       "POST / HTTP/1.1\r\nHost: a\r\nConnection: content-length, host\r\nContent-Length: "
       "2\r\n\r\nhi");
  ASSERT_EQ(count(), 1u);
  EXPECT_EQ(last().headers, "content-length: 2\n");
  EXPECT_EQ(last().authority, "a");
  EXPECT_EQ(last().body, "hi");
}

TEST_F(H1ServerCodecTest, AnswersOfUnknownLengthAreChunked) {
  Feed(codec_, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  ResponseHead head;
  head.status = 200;
  last().stream->SendHeaders(head, false);
  Buffer data;
  data.Append("0123456789abcdef");
  last().stream->SendData(data, false);
  HeaderMap trailers;
  trailers.Add(HeaderId::kGrpcStatus, "0");
  trailers.Add(HeaderId::kContentLength, "5");
  last().stream->SendTrailers(trailers);
  EXPECT_EQ(Drain(codec_),
            "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
            "10\r\n0123456789abcdef\r\n0\r\ngrpc-status: 0\r\n\r\n");
}

TEST_F(H1ServerCodecTest, Http10GetsNoChunksAndIsClosedUnlessItAsksForMore) {
  Feed(codec_, "GET / HTTP/1.0\r\n\r\n");
  ASSERT_EQ(count(), 1u);
  EXPECT_EQ(last().protocol, Protocol::kHttp10);
  ResponseHead head;
  head.status = 200;
  last().stream->SendHeaders(head, false);
  Buffer data;
  data.Append("abc");
  last().stream->SendData(data, true);
  bool open = true;
  EXPECT_EQ(Drain(codec_, &open), "HTTP/1.1 200 OK\r\nconnection: close\r\n\r\nabc");
  EXPECT_FALSE(open);

  H1ServerCodec other(requests_, {});
  Feed(other, "GET / HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
  last().Respond(200, "abc");
  EXPECT_EQ(Drain(other, &open),
            "HTTP/1.1 200 OK\r\ncontent-length: 3\r\nconnection: keep-alive\r\n\r\nabc");
  EXPECT_TRUE(open);
}

TEST_F(H1ServerCodecTest, AnswersToHeadHaveALengthAndNoBody) {
  Feed(codec_, "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
  last().Respond(200, "hello");
  EXPECT_EQ(Drain(codec_), "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n");
  Feed(codec_, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  ResponseHead head;
  head.status = 204;
  last().stream->SendHeaders(head, true);
  EXPECT_EQ(Drain(codec_), "HTTP/1.1 204 No Content\r\n\r\n");
}

TEST_F(H1ServerCodecTest, CloseIsHonouredAndSaid) {
  Feed(codec_, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\nGET /2 HTTP/1.1\r\n");
  last().Respond(200, "a");
  bool open = true;
  EXPECT_EQ(Drain(codec_, &open),
            "HTTP/1.1 200 OK\r\ncontent-length: 1\r\nconnection: close\r\n\r\na");
  EXPECT_FALSE(open);
  EXPECT_EQ(count(), 1u);
}

TEST_F(H1ServerCodecTest, DrainClosesWithTheNextAnswer) {
  codec_.StartDrain();
  bool open = false;
  Drain(codec_, &open);
  EXPECT_TRUE(open);
  Feed(codec_, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  last().Respond(200, "a");
  EXPECT_NE(Drain(codec_, &open).find("connection: close"), std::string::npos);
  EXPECT_FALSE(open);
}

TEST_F(H1ServerCodecTest, ContinueIsTheUsersToSay) {
  Feed(codec_, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(last().headers, "content-length: 2\nexpect: 100-continue\n");
  ResponseHead head;
  head.status = 100;
  last().stream->SendInformational(head);
  EXPECT_EQ(Drain(codec_), "HTTP/1.1 100 Continue\r\n\r\n");
  Feed(codec_, "hi");
  EXPECT_EQ(last().body, "hi");
  last().Respond(200, "a");
  bool open = false;
  Drain(codec_, &open);
  EXPECT_TRUE(open);
}

TEST_F(H1ServerCodecTest, AnUnansweredExpectationEndsTheConnection) {
  Feed(codec_, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 30\r\nExpect: 100-continue\r\n\r\n");
  last().Respond(417, "no");
  EXPECT_NE(Drain(codec_).find("connection: close"), std::string::npos);
  last().stream->StopRequest();
  bool open = true;
  Drain(codec_, &open);
  EXPECT_FALSE(open);
  Feed(codec_, "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
  EXPECT_EQ(count(), 1u);
}

TEST_F(H1ServerCodecTest, TunnelsOpenAfterTheAnswerAlone) {
  Feed(codec_,
       "GET /chat HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nearly");
  ASSERT_EQ(count(), 1u);
  EXPECT_EQ(last().upgrade, "websocket");
  EXPECT_FALSE(last().complete);
  EXPECT_EQ(last().body, "");
  ResponseHead head;
  head.status = 101;
  last().stream->SendHeaders(head, false);
  EXPECT_EQ(
      Drain(codec_),
      "HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\nconnection: upgrade\r\n\r\n");
  EXPECT_EQ(last().body, "early");
  Feed(codec_, " GET / HTTP/1.1\r\n\r\n");
  EXPECT_EQ(last().body, "early GET / HTTP/1.1\r\n\r\n");
  Buffer data;
  data.Append("down");
  last().stream->SendData(data, false);
  EXPECT_EQ(Drain(codec_), "down");
  Buffer none;
  codec_.Receive(none, true, Instant());
  EXPECT_TRUE(last().complete);
  last().stream->SendData(none, true);
  bool open = true;
  Drain(codec_, &open);
  EXPECT_FALSE(open);
  EXPECT_EQ(last().end, StreamEnd::kFinished);
}

class H1ServerTunnelTest : public H1ServerCodecTest {
 protected:
  // A client's tunnel, and our 101 or 200.
  void Open(bool connect = false) {
    Feed(codec_, connect
                     ? "CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n"
                     : "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
    ResponseHead head;
    head.status = connect ? 200 : 101;
    last().stream->SendHeaders(head, false);
    Drain(codec_);
  }
  void Say(absl::string_view text, bool end) {
    Buffer data;
    data.Append(text);
    last().stream->SendData(data, end);
  }
  void Hear(absl::string_view text, bool end) {
    Buffer data;
    data.Append(text);
    codec_.Receive(data, end, Instant());
  }
  std::string Said() { return Drain(codec_, &open_); }

  bool open_ = true;
};

TEST_F(H1ServerTunnelTest, TheAnswersEndIsToldWhileTheClientGoesOn) {
  Open(/*connect=*/true);
  Say("bye", true);
  EXPECT_EQ(Said(), "bye");
  EXPECT_FALSE(open_);
  EXPECT_EQ(codec_.ending(), Ending::kFinish);
  EXPECT_EQ(codec_.active_streams(), 1u);
  EXPECT_FALSE(codec_.wants_write());
  Hear("more", false);
  EXPECT_EQ(last().body, "more");
  EXPECT_EQ(last().ends, 0);
  Hear(" and last", true);
  EXPECT_EQ(last().body, "more and last");
  EXPECT_TRUE(last().complete);
  Said();
  EXPECT_FALSE(open_);
  EXPECT_EQ(last().end, StreamEnd::kFinished);
  EXPECT_EQ(last().ends, 1);
  EXPECT_EQ(codec_.active_streams(), 0u);
}

TEST_F(H1ServerTunnelTest, TheClientsEndIsToldWhileTheAnswerGoesOn) {
  Open();
  Hear("all", true);
  EXPECT_TRUE(last().complete);
  Say("answer", false);
  EXPECT_EQ(Said(), "answer");
  EXPECT_TRUE(open_);
  EXPECT_EQ(last().ends, 0);
  Say(" whole", true);
  EXPECT_EQ(Said(), " whole");
  EXPECT_FALSE(open_);
  EXPECT_EQ(codec_.ending(), Ending::kFinish);
  EXPECT_EQ(last().end, StreamEnd::kFinished);
}

TEST_F(H1ServerTunnelTest, ABrokenTunnelIsReset) {
  Open();
  Say("never to be taken for all", false);
  last().stream->Reset();
  EXPECT_EQ(Said(), "");
  EXPECT_FALSE(open_);
  EXPECT_EQ(codec_.ending(), Ending::kReset);
}

TEST_F(H1ServerTunnelTest, AClientThatGoesOnIsToldOfAResetAfterTheEnd) {
  Open();
  Say("bye", true);
  Said();
  last().stream->Reset();
  Said();
  EXPECT_FALSE(open_);
  EXPECT_EQ(codec_.ending(), Ending::kReset);
  EXPECT_EQ(codec_.active_streams(), 0u);
}

TEST_F(H1ServerTunnelTest, AConnectionThatIsLostInBetweenIsNoEnd) {
  Open();
  Say("bye", true);
  Said();
  codec_.OnConnectionClosed();
  EXPECT_FALSE(last().complete);
  EXPECT_EQ(last().end, StreamEnd::kConnectionLost);
}

TEST_F(H1ServerTunnelTest, WhatWaitsForItsReaderOutlivesTheConnection) {
  Open();
  Say("bye", true);
  Said();
  last().stream->ReadDisable(true);
  Hear("last words", true);
  EXPECT_EQ(last().body, "");
  // Both directions are over: the connection closes by itself.
  codec_.OnConnectionClosed();
  EXPECT_EQ(last().body, "last words");
  EXPECT_TRUE(last().complete);
  EXPECT_EQ(last().end, StreamEnd::kFinished);
  EXPECT_EQ(last().ends, 1);
}

TEST_F(H1ServerTunnelTest, AReaderThatGoesOnEndsTheTunnel) {
  Open();
  Say("bye", true);
  Said();
  last().stream->ReadDisable(true);
  Hear("last words", true);
  last().stream->ReadDisable(false);
  Said();
  EXPECT_EQ(last().body, "last words");
  EXPECT_EQ(last().end, StreamEnd::kFinished);
  EXPECT_EQ(last().ends, 1);
}

TEST_F(H1ServerCodecTest, ABrokenAnswerThatEndsWithItsConnectionIsReset) {
  ResponseHead head;
  head.status = 200;
  Feed(codec_, "GET / HTTP/1.0\r\n\r\n");
  last().stream->SendHeaders(head, false);
  last().stream->Reset();
  bool open = true;
  Drain(codec_, &open);
  EXPECT_FALSE(open);
  EXPECT_EQ(codec_.ending(), Ending::kReset);
  // Of this one its client sees that the last chunk is missing.
  H1ServerCodec chunked(requests_, {});
  Feed(chunked, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  last().stream->SendHeaders(head, false);
  last().stream->Reset();
  Drain(chunked, &open);
  EXPECT_FALSE(open);
  EXPECT_EQ(chunked.ending(), Ending::kClose);
}

TEST_F(H1ServerCodecTest, ARefusedTunnelEndsTheConnection) {
  for (const std::string head :
       {"GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n",
        "CONNECT db:5432 HTTP/1.1\r\nHost: db:5432\r\n\r\n"}) {
    H1ServerCodec codec(requests_, {});
    Feed(codec, head + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n");
    const size_t before = count();
    last().Respond(403, "no");
    bool open = true;
    EXPECT_NE(Drain(codec, &open).find("connection: close"), std::string::npos);
    EXPECT_FALSE(open);
    EXPECT_EQ(count(), before);
    EXPECT_EQ(last().end, StreamEnd::kFinished);
  }
}

TEST_F(H1ServerCodecTest, StalledReadersStopTheirClient) {
  Feed(codec_, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345");
  last().stream->ReadDisable(true);
  EXPECT_TRUE(requests_.read_disabled);
  Feed(codec_, "67890");
  EXPECT_EQ(last().body, "12345");
  last().stream->ReadDisable(false);
  EXPECT_EQ(last().body, "12345");
  Drain(codec_);
  EXPECT_EQ(last().body, "1234567890");
  EXPECT_TRUE(last().complete);
  EXPECT_FALSE(requests_.read_disabled);
}

TEST_F(H1ServerCodecTest, ABodyLongerThanItsHeadSaysIsNeverSent) {
  Feed(codec_, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  ResponseHead head;
  head.status = 200;
  head.headers.Add(HeaderId::kContentLength, "3");
  last().stream->SendHeaders(head, false);
  Buffer data;
  data.Append("abcHTTP/1.1 200 OK\r\n\r\n");
  last().stream->SendData(data, true);
  bool open = true;
  EXPECT_EQ(Drain(codec_, &open), "HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\n");
  EXPECT_FALSE(open);
}

TEST_F(H1ServerCodecTest, AClientThatLeavesInMidRequestEndsIt) {
  Feed(codec_, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345");
  Buffer none;
  codec_.Receive(none, true, Instant());
  EXPECT_EQ(last().end, StreamEnd::kPeerReset);
  bool open = true;
  Drain(codec_, &open);
  EXPECT_FALSE(open);
}

TEST_F(H1ServerCodecTest, ARequestIsAnsweredThoughTheClientHasFinished) {
  Buffer data;
  data.Append("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  codec_.Receive(data, true, Instant());
  last().Respond(200, "a");
  bool open = true;
  EXPECT_NE(Drain(codec_, &open).find("\r\n\r\na"), std::string::npos);
  EXPECT_FALSE(open);
}

TEST_F(H1ServerCodecTest, ASlowHeadIsTimedFromItsFirstByte) {
  const Instant start = Instant() + std::chrono::seconds(5);
  Feed(codec_, "GET / HT", 0, start);
  EXPECT_EQ(codec_.head_since(), start);
  Feed(codec_, "TP/1.1\r\nHost:", 1, start + std::chrono::seconds(3));
  EXPECT_EQ(codec_.head_since(), start);
}

TEST_F(H1ServerCodecTest, ABrokenBodyIsAnsweredUnlessAnAnswerHasBegun) {
  Feed(codec_, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n");
  EXPECT_EQ(last().end, StreamEnd::kProtocolError);
  bool open = true;
  EXPECT_EQ(Drain(codec_, &open).substr(0, 12), "HTTP/1.1 400");
  EXPECT_FALSE(open);
}

TEST_F(H1ServerCodecTest, AbsoluteTargetsAndAsterisksAreUnderstood) {
  Feed(codec_, "GET http://shop:80/a HTTP/1.1\r\nHost: shop:80\r\n\r\n");
  ASSERT_EQ(count(), 1u);
  EXPECT_EQ(last().path, "/a");
  EXPECT_EQ(last().authority, "shop:80");
  last().Respond(200, "");
  Drain(codec_);
  Feed(codec_, "GET http://Shop/a HTTP/1.1\r\nHost: shop:80\r\n\r\n");
  EXPECT_EQ(last().authority, "Shop");
  last().Respond(200, "");
  Drain(codec_);
  Feed(codec_, "GET http://shop?q HTTP/1.1\r\nHost: shop\r\n\r\n");
  EXPECT_EQ(last().path, "/?q");
  last().Respond(200, "");
  Drain(codec_);
  Feed(codec_, "OPTIONS * HTTP/1.1\r\nHost: shop\r\n\r\n");
  ASSERT_EQ(count(), 4u);
  EXPECT_EQ(last().path, "*");
}

}  // namespace
}  // namespace countersign::http::h1
