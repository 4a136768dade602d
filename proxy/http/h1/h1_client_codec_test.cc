#include "proxy/http/h1/h1_client_codec.h"

#include <deque>
#include <string>

#include "gtest/gtest.h"
#include "proxy/http/testing/recorders.h"

namespace countersign::http::h1 {
namespace {

using buffer::Buffer;
using testing::Call;
using testing::Drain;
using testing::Feed;
using testing::FillRequest;

class H1ClientCodecTest : public ::testing::Test {
 protected:
  Call& Send(absl::string_view method, absl::string_view path, bool end = true,
             absl::string_view upgrade = {}) {
    RequestHead head;
    FillRequest(head, method, path);
    head.upgrade = upgrade;
    Call& call = calls_.emplace_back();
    call.stream = codec_.NewStream(call);
    EXPECT_NE(call.stream, nullptr);
    if (call.stream != nullptr) call.stream->SendHeaders(head, end);
    return call;
  }
  bool Reusable() {
    bool open = false;
    Drain(codec_, &open);
    Call& call = calls_.emplace_back();
    call.stream = codec_.NewStream(call);
    if (call.stream == nullptr) return false;
    EXPECT_TRUE(open);
    call.stream->Reset();
    return true;
  }

  std::deque<Call> calls_;
  testing::ClientRecorder owner_;
  H1ClientCodec codec_{owner_, {}};
};

TEST_F(H1ClientCodecTest, ARequestAndItsAnswerArriveWhole) {
  Call& call = Send("GET", "/a");
  EXPECT_EQ(Drain(codec_), "GET /a HTTP/1.1\r\nhost: shop.example\r\n\r\n");
  Feed(codec_, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\nX-A: b\r\n\r\nhello");
  EXPECT_EQ(call.status, 200);
  EXPECT_EQ(call.headers, "content-length: 5\nx-a: b\n");
  EXPECT_EQ(call.body, "hello");
  EXPECT_TRUE(call.complete);
  Drain(codec_);
  EXPECT_EQ(call.ends, 1);
  EXPECT_EQ(call.end, StreamEnd::kFinished);
  EXPECT_TRUE(Reusable());
}

TEST_F(H1ClientCodecTest, PiecesOfAnySizeMakeTheSameAnswer) {
  const std::string text =
      "HTTP/1.1 103 Early Hints\r\nlink: x\r\n\r\n"
      "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nA\r\n0123456789\r\n0\r\nx-t: u\r\n\r\n";
  for (size_t piece = 1; piece < text.size(); ++piece) {
    Call& call = Send("GET", "/a");
    Drain(codec_);
    Feed(codec_, text, piece);
    EXPECT_EQ(call.informational, std::vector<uint16_t>{103});
    EXPECT_EQ(call.body, "0123456789") << piece;
    EXPECT_EQ(call.trailers, "x-t: u\n");
    Drain(codec_);
    ASSERT_EQ(call.ends, 1) << piece;
  }
}

TEST_F(H1ClientCodecTest, BodiesOfUnknownLengthAreChunked) {
  Call& call = Send("POST", "/", false);
  Buffer data;
  data.Append("abc");
  call.stream->SendData(data, true);
  EXPECT_EQ(Drain(codec_),
            "POST / HTTP/1.1\r\nhost: shop.example\r\ntransfer-encoding: chunked\r\n\r\n"
            "3\r\nabc\r\n0\r\n\r\n");
}

TEST_F(H1ClientCodecTest, AnAnswerMayEndWithItsConnection) {
  Call& call = Send("GET", "/");
  Drain(codec_);
  Feed(codec_, "HTTP/1.1 200 OK\r\n\r\nabc");
  EXPECT_FALSE(call.complete);
  EXPECT_EQ(owner_.draining, 1);
  Buffer none;
  codec_.Receive(none, true, Instant());
  EXPECT_TRUE(call.complete);
  EXPECT_EQ(call.body, "abc");
  bool open = true;
  Drain(codec_, &open);
  EXPECT_FALSE(open);
  EXPECT_EQ(call.end, StreamEnd::kFinished);
}

TEST_F(H1ClientCodecTest, AnswersWithoutBodiesEndWithTheirHeads) {
  for (const char* text :
       {"HTTP/1.1 204 No Content\r\n\r\n", "HTTP/1.1 304 x\r\ncontent-length: 9\r\n\r\n"}) {
    Call& call = Send("GET", "/");
    Drain(codec_);
    Feed(codec_, text);
    EXPECT_TRUE(call.complete) << text;
    EXPECT_TRUE(Reusable()) << text;
  }
  Call& call = Send("HEAD", "/");
  Drain(codec_);
  Feed(codec_, "HTTP/1.1 200\r\ncontent-length: 9\r\n\r\n");
  EXPECT_TRUE(call.complete);
  EXPECT_TRUE(Reusable());
}

TEST_F(H1ClientCodecTest, BytesBehindAnAnswerEndTheConnection) {
  Call& call = Send("GET", "/");
  Drain(codec_);
  Feed(codec_, "HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\naHTTP/1.1 200 OK\r\n\r\n");
  EXPECT_EQ(call.body, "a");
  EXPECT_FALSE(Reusable());
  EXPECT_EQ(call.end, StreamEnd::kFinished);
}

TEST_F(H1ClientCodecTest, AnswersThatNobodyAskedForEndTheConnection) {
  Feed(codec_, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
  EXPECT_FALSE(Reusable());
  EXPECT_NE(codec_.error(), "");
}

TEST_F(H1ClientCodecTest, AmbiguousAnswersAreErrors) {
  for (const char* text : {
           "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ntransfer-encoding: chunked\r\n\r\n",
           "HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\n",
           "HTTP/1.1 200 OK\r\ntransfer-encoding: xchunked\r\n\r\n",
           "HTTP/1.1 200 OK\nx: y\n\n",
           "HTTP/1.1 200 OK\r\nx : y\r\n\r\n",
           "HTTP/1.1 200 OK\r\nx: y\rz\r\n\r\n",
           "HTTP/1.1 2000 OK\r\n\r\n",
           "HTTP/1.1 99 OK\r\n\r\n     ",
           "HTTP/2 200 OK\r\n\r\n     ",
           "ICY 200 OK\r\n\r\n        ",
           "HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
           "HTTP/1.1 204 No Content\r\ncontent-length: 5\r\n\r\n",
       }) {
    Call& call = calls_.emplace_back();
    H1ClientCodec codec(owner_, {});
    RequestHead head;
    FillRequest(head, "GET", "/");
    call.stream = codec.NewStream(call);
    call.stream->SendHeaders(head, true);
    Drain(codec);
    Feed(codec, text);
    bool open = true;
    Drain(codec, &open);
    EXPECT_EQ(call.end, StreamEnd::kProtocolError) << text;
    EXPECT_EQ(call.ends, 1) << text;
    EXPECT_EQ(call.status, 0) << text;
    EXPECT_FALSE(open) << text;
    EXPECT_NE(codec.error(), "") << text;
  }
}

TEST_F(H1ClientCodecTest, TunnelsPassBytesAsTheyAre) {
  Call& call = Send("GET", "/chat", false, "websocket");
  EXPECT_EQ(Drain(codec_),
            "GET /chat HTTP/1.1\r\nhost: shop.example\r\nupgrade: websocket\r\nconnection: "
            "upgrade\r\n\r\n");
  Feed(codec_,
       "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nhi");
  EXPECT_EQ(call.status, 101);
  EXPECT_EQ(call.body, "hi");
  Buffer data;
  data.Append("up");
  call.stream->SendData(data, false);
  EXPECT_EQ(Drain(codec_), "up");
}

class H1ClientTunnelTest : public H1ClientCodecTest {
 protected:
  Call& Ask() {
    Call& call = Send("GET", "/chat", false, "websocket");
    Drain(codec_);
    return call;
  }
  void Agree() {
    Feed(codec_,
         "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
  }
  Call& Open() {
    Call& call = Ask();
    Agree();
    return call;
  }
  static void Say(Call& call, absl::string_view text, bool end) {
    Buffer data;
    data.Append(text);
    call.stream->SendData(data, end);
  }
  void Hear(absl::string_view text, bool end) {
    Buffer data;
    data.Append(text);
    codec_.Receive(data, end, Instant());
  }
  std::string Said() { return Drain(codec_, &open_); }

  bool open_ = true;
};

TEST_F(H1ClientTunnelTest, TheRequestsEndIsToldWhileTheServerGoesOn) {
  Call& call = Open();
  Say(call, "all", true);
  EXPECT_EQ(Said(), "all");
  EXPECT_FALSE(open_);
  EXPECT_EQ(codec_.ending(), Ending::kFinish);
  EXPECT_EQ(codec_.active_streams(), 1u);
  Hear("answer", false);
  EXPECT_EQ(call.body, "answer");
  Hear(" whole", true);
  EXPECT_EQ(call.body, "answer whole");
  EXPECT_TRUE(call.complete);
  Said();
  EXPECT_FALSE(open_);
  EXPECT_EQ(call.end, StreamEnd::kFinished);
  EXPECT_EQ(call.ends, 1);
}

TEST_F(H1ClientTunnelTest, TheServersEndIsToldWhileTheRequestGoesOn) {
  Call& call = Open();
  Hear("bye", true);
  EXPECT_TRUE(call.complete);
  EXPECT_EQ(owner_.draining, 1);
  Say(call, "more", false);
  EXPECT_EQ(Said(), "more");
  EXPECT_TRUE(open_);
  EXPECT_EQ(call.ends, 0);
  Say(call, " and last", true);
  EXPECT_EQ(Said(), " and last");
  EXPECT_FALSE(open_);
  EXPECT_EQ(codec_.ending(), Ending::kFinish);
  EXPECT_EQ(call.end, StreamEnd::kFinished);
}

TEST_F(H1ClientTunnelTest, AnEarlyEndWaitsForTheAnswer) {
  Call& call = Ask();
  Say(call, "early", true);
  EXPECT_EQ(Said(), "early");
  EXPECT_TRUE(open_);
  const int outputs = owner_.outputs;
  Agree();
  EXPECT_GT(owner_.outputs, outputs);
  Said();
  EXPECT_FALSE(open_);
  EXPECT_EQ(codec_.ending(), Ending::kFinish);
}

TEST_F(H1ClientTunnelTest, ABrokenTunnelIsReset) {
  Call& call = Open();
  Say(call, "never to be taken for all", false);
  call.stream->Reset();
  EXPECT_EQ(Said(), "");
  EXPECT_FALSE(open_);
  EXPECT_EQ(codec_.ending(), Ending::kReset);
}

TEST_F(H1ClientTunnelTest, AConnectionThatIsLostInBetweenIsNoEnd) {
  Call& call = Open();
  Say(call, "all", true);
  Said();
  codec_.OnConnectionClosed();
  EXPECT_FALSE(call.complete);
  EXPECT_EQ(call.end, StreamEnd::kConnectionLost);
}

TEST_F(H1ClientTunnelTest, WhatWaitsForItsReaderOutlivesTheConnection) {
  Call& call = Open();
  Say(call, "all", true);
  Said();
  call.stream->ReadDisable(true);
  Hear("last words", true);
  EXPECT_EQ(call.body, "");
  codec_.OnConnectionClosed();
  EXPECT_EQ(call.body, "last words");
  EXPECT_TRUE(call.complete);
  EXPECT_EQ(call.end, StreamEnd::kFinished);
  EXPECT_EQ(call.ends, 1);
}

TEST_F(H1ClientTunnelTest, AReaderThatGoesOnEndsTheTunnel) {
  Call& call = Open();
  Say(call, "all", true);
  Said();
  call.stream->ReadDisable(true);
  Hear("last words", true);
  call.stream->ReadDisable(false);
  Said();
  EXPECT_EQ(call.body, "last words");
  EXPECT_EQ(call.end, StreamEnd::kFinished);
  EXPECT_EQ(call.ends, 1);
}

TEST_F(H1ClientCodecTest, ARefusedUpgradeEndsTheConnection) {
  Call& call = Send("GET", "/chat", false, "websocket");
  Drain(codec_);
  Feed(codec_, "HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno");
  EXPECT_EQ(call.status, 403);
  EXPECT_TRUE(call.complete);
  Buffer none;
  call.stream->SendData(none, true);
  EXPECT_FALSE(Reusable());
  EXPECT_EQ(call.end, StreamEnd::kFinished);
}

TEST_F(H1ClientCodecTest, APeerThatLeavesBeforeItAnswersIsToldFromOneThatLeavesInMidAnswer) {
  Buffer none;
  Call& call = Send("GET", "/");
  Drain(codec_);
  codec_.Receive(none, true, Instant());
  EXPECT_EQ(call.end, StreamEnd::kConnectionLost);
  H1ClientCodec other(owner_, {});
  Call& second = calls_.emplace_back();
  RequestHead head;
  FillRequest(head, "GET", "/");
  second.stream = other.NewStream(second);
  second.stream->SendHeaders(head, true);
  Drain(other);
  Feed(other, "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc");
  other.Receive(none, true, Instant());
  EXPECT_EQ(second.body, "abc");
  EXPECT_EQ(second.end, StreamEnd::kPeerReset);
}

TEST_F(H1ClientCodecTest, AnEarlyAnswerWaitsForTheRequestsEnd) {
  Call& call = Send("POST", "/", false);
  Drain(codec_);
  Feed(codec_, "HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n");
  Drain(codec_);
  EXPECT_EQ(call.ends, 0);
  Buffer none;
  call.stream->SendData(none, true);
  EXPECT_EQ(Drain(codec_), "0\r\n\r\n");
  EXPECT_EQ(call.end, StreamEnd::kFinished);
  EXPECT_TRUE(Reusable());
}

TEST_F(H1ClientCodecTest, AFinOnAnIdleConnectionEndsIt) {
  Buffer none;
  codec_.Receive(none, true, Instant());
  EXPECT_EQ(owner_.draining, 1);
  EXPECT_FALSE(Reusable());
}

}  // namespace
}  // namespace countersign::http::h1
