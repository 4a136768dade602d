// What a hostile peer may try over HTTP/2. Frames are written by hand, since no library writes
// these.
#include <time.h>

#include <chrono>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"
#include "gtest/gtest.h"
#include "proxy/http/h2/h2_client_codec.h"
#include "proxy/http/h2/h2_server_codec.h"
#include "proxy/http/testing/frames.h"
#include "proxy/http/testing/recorders.h"

namespace countersign::http::h2 {
namespace {

using testing::Call;
using testing::Converse;
using testing::Exchange;
using testing::FillRequest;
using testing::Frame;
using testing::FrameType;
using testing::HeaderBlock;
using testing::kClientPreface;
using testing::ParseFrames;

constexpr uint8_t kEndStream = 1;
constexpr uint8_t kEndHeaders = 4;
constexpr uint32_t kProtocolError = 1;
constexpr uint32_t kEnhanceYourCalm = 11;

std::string Number(uint32_t n) {
  return {static_cast<char>(n >> 24), static_cast<char>(n >> 16), static_cast<char>(n >> 8),
          static_cast<char>(n)};
}

class H2AttacksTest : public ::testing::Test {
 protected:
  H2AttacksTest() {
    Send(absl::StrCat(kClientPreface, Frame(FrameType::kSettings, 0, 0, "")));
    Take();
  }

  void Send(absl::string_view bytes) { testing::Feed(server_, bytes, 0, now_); }
  // What the server has to say.
  std::vector<testing::ParsedFrame> Take() { return ParseFrames(testing::Drain(server_, &open_)); }
  std::string Headers(uint32_t stream, absl::string_view block, bool end = true) {
    return Frame(FrameType::kHeaders, kEndHeaders | (end ? kEndStream : 0), stream, block);
  }
  std::string Get(uint32_t stream) { return Headers(stream, HeaderBlock(kGet)); }
  bool StreamReset(uint32_t stream, uint32_t code) {
    for (const auto& frame : Take()) {
      if (frame.type == FrameType::kGoaway) return false;
      if (frame.type == FrameType::kRstStream && frame.stream == stream) {
        return frame.payload == Number(code);
      }
    }
    return false;
  }
  // The connection was ended for `code`.
  bool GoneFor(uint32_t code) {
    for (const auto& frame : Take()) {
      if (frame.type == FrameType::kGoaway && frame.payload.substr(4, 4) == Number(code)) {
        return !open_ && !server_.error().empty();
      }
    }
    return false;
  }
  bool StillServes(uint32_t stream) {
    const size_t before = requests_.requests.size();
    Send(Get(stream));
    return requests_.requests.size() == before + 1 && requests_.requests.back()->stream != nullptr;
  }
  // The head of a request with these fields is refused, and nobody hears of it.
  void ExpectMalformed(const testing::Fields& fields, bool end = true) {
    testing::ServerRecorder requests;
    H2ServerCodec server(requests, {});
    testing::Feed(server, absl::StrCat(kClientPreface, Frame(FrameType::kSettings, 0, 0, ""),
                                       Headers(1, HeaderBlock(fields), end)));
    bool reset = false;
    for (const auto& frame : ParseFrames(testing::Drain(server))) {
      EXPECT_NE(frame.type, FrameType::kGoaway);
      if (frame.type == FrameType::kRstStream) reset = frame.payload == Number(kProtocolError);
    }
    EXPECT_TRUE(reset) << testing::PrintFields(fields);
    EXPECT_TRUE(requests.requests.empty()) << testing::PrintFields(fields);
    EXPECT_EQ(requests.bad, std::vector<uint16_t>{0}) << testing::PrintFields(fields);
    EXPECT_EQ(server.active_streams(), 0u);
    EXPECT_EQ(server.head_since(), Instant::max());
    testing::Feed(server, Get(3));
    EXPECT_EQ(requests.requests.size(), 1u);
  }

  const testing::Fields kGet = {
      {":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}};
  const testing::Fields kPost = {
      {":method", "POST"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}};
  testing::Fields With(testing::Fields fields, const testing::Fields& more) {
    fields.insert(fields.end(), more.begin(), more.end());
    return fields;
  }

  Instant now_ = Instant() + std::chrono::hours(1);
  testing::ServerRecorder requests_;
  H2ServerCodec server_{requests_, {}};
  bool open_ = true;
};

// Attack 16.
TEST_F(H2AttacksTest, AContinuationFloodEndsTheConnection) {
  Send(Frame(FrameType::kHeaders, kEndStream, 1, HeaderBlock(kGet)));
  EXPECT_NE(server_.head_since(), Instant::max());
  for (int i = 0; i < 1000 && open_; ++i) {
    Send(Frame(FrameType::kContinuation, 0, 1, HeaderBlock({{"x", std::string(100, 'y')}})));
    Take();
  }
  EXPECT_FALSE(open_);
  EXPECT_NE(server_.error(), "");
  EXPECT_TRUE(requests_.requests.empty());
}

// Attack 17.
TEST_F(H2AttacksTest, RapidResetEndsTheConnection) {
  uint32_t stream = 1;
  for (int i = 0; i < 10'000 && open_; ++i, stream += 2) {
    Send(Get(stream) + Frame(FrameType::kRstStream, 0, stream, Number(8)));
    EXPECT_EQ(server_.active_streams(), server_.error().empty() ? 0u : server_.active_streams());
    Take();
  }
  EXPECT_FALSE(open_);
  EXPECT_LE(requests_.requests.size(), 4500u);
}

// Attack 18: the peer makes us reset.
TEST_F(H2AttacksTest, MadeYouResetEndsTheConnection) {
  const std::string causes[] = {
      Frame(FrameType::kWindowUpdate, 0, 0, Number(0x7fffffff)),  // overflows the stream's window
      Frame(FrameType::kWindowUpdate, 0, 0, Number(0)),
      Frame(FrameType::kData, 0, 0, "data after END_STREAM"),
      Frame(FrameType::kPriority, 0, 0, "four"),
  };
  for (const std::string& cause : causes) {
    testing::ServerRecorder requests;
    H2ServerCodec server(requests, {});
    testing::Feed(server, absl::StrCat(kClientPreface, Frame(FrameType::kSettings, 0, 0, "")));
    bool open = true;
    uint32_t stream = 1;
    for (int i = 0; i < 2000 && open; ++i, stream += 2) {
      std::string frame = cause;
      frame.replace(5, 4, Number(stream));
      testing::Feed(server, Get(stream) + frame, 0, now_);
      testing::Drain(server, &open);
    }
    EXPECT_FALSE(open) << static_cast<int>(cause[3]);
    EXPECT_LE(requests.requests.size(), 200u);
    for (const auto& request : requests.requests) {
      EXPECT_LE(request->ends, 1);
    }
  }
}

// Attack 19.
TEST_F(H2AttacksTest, FloodsOfFramesThatCarryNothingEndTheConnection) {
  const std::string floods[] = {
      Frame(FrameType::kPing, 0, 0, "12345678"),
      Frame(FrameType::kPing, 1, 0, "12345678"),
      Frame(FrameType::kSettings, 0, 0, ""),
      Frame(FrameType::kSettings, 1, 0, ""),
      Frame(FrameType::kWindowUpdate, 0, 0, Number(1)),
      Frame(FrameType::kData, 0, 1, ""),
      Frame(FrameType::kPriority, 0, 3, absl::StrCat(Number(0), "x")),
      Frame(static_cast<FrameType>(0x77), 0, 0, "extension"),
      Frame(static_cast<FrameType>(0x10), 0, 0, absl::StrCat(Number(1), "u=1")),
      Frame(FrameType::kData, 8, 1, std::string("\x03\0\0\0", 4)),  // padding alone
  };
  for (const std::string& flood : floods) {
    testing::ServerRecorder requests;
    H2ServerCodec server(requests, {});
    testing::Feed(server, absl::StrCat(kClientPreface, Frame(FrameType::kSettings, 0, 0, ""),
                                       Headers(1, HeaderBlock(kPost), false)));
    bool open = true;
    int taken = 0;
    for (; taken < 30'000 && open; taken += 10) {
      std::string many;
      for (int i = 0; i < 10; ++i) many += flood;
      testing::Feed(server, many, 0, now_);
      testing::Drain(server, &open);
    }
    EXPECT_FALSE(open) << "type " << static_cast<int>(flood[3]) << " flags "
                       << static_cast<int>(flood[4]);
    EXPECT_NE(server.error(), "");
    EXPECT_LE(taken, 21'000);
  }
}

TEST_F(H2AttacksTest, AFloodIsToldToBeCalm) {
  for (int i = 0; i < 300; ++i) Send(Frame(FrameType::kPing, 0, 0, "12345678"));
  EXPECT_TRUE(GoneFor(kEnhanceYourCalm));
}

// Attack 20.
TEST_F(H2AttacksTest, AnHpackBombIsCappedInBytesAndInFields) {
  // One large value in the dynamic table, and then references of a byte each.
  std::string bomb = HeaderBlock(kGet);
  absl::StrAppend(&bomb, absl::string_view("\x40\x01x\x7f\x81\x1e", 6), std::string(4000, 'v'));
  bomb += std::string(10'000, '\xbe');
  Send(Headers(1, bomb));
  EXPECT_TRUE(requests_.requests.empty());
  EXPECT_EQ(requests_.bad, std::vector<uint16_t>{431});
  Take();
  // Cookies count one by one, though they are joined.
  testing::Fields crumbs = kGet;
  for (int i = 0; i < 200; ++i) crumbs.push_back({"cookie", "a=b"});
  Send(Headers(3, HeaderBlock(crumbs)));
  EXPECT_TRUE(requests_.requests.empty());
  EXPECT_EQ(requests_.bad.size(), 2u);
  Take();
  EXPECT_TRUE(StillServes(5));
}

TEST_F(H2AttacksTest, ARepeatedBombEndsTheConnection) {
  testing::Fields crumbs = kGet;
  for (int i = 0; i < 200; ++i) crumbs.push_back({"cookie", "a=b"});
  uint32_t stream = 1;
  for (int i = 0; i < 1000 && open_; ++i, stream += 2) {
    Send(Headers(stream, HeaderBlock(crumbs)));
    Take();
  }
  EXPECT_FALSE(open_);
}

// Attack 21.
TEST_F(H2AttacksTest, AContentLengthThatIsNotTrueNeverGoesOn) {
  ExpectMalformed(With(kPost, {{"content-length", "5"}}), /*end=*/true);
  ExpectMalformed(With(kPost, {{"content-length", "5"}, {"content-length", "6"}}));
  ExpectMalformed(With(kPost, {{"content-length", "+5"}}));
  ExpectMalformed(With(kPost, {{"content-length", ""}}));
  Send(Headers(1, HeaderBlock(With(kPost, {{"content-length", "5"}})), false) +
       Frame(FrameType::kData, kEndStream, 1, "only"));
  ASSERT_EQ(requests_.requests.size(), 1u);
  EXPECT_EQ(requests_.requests[0]->body, "");
  EXPECT_TRUE(StreamReset(1, kProtocolError));
  EXPECT_EQ(requests_.requests[0]->end, StreamEnd::kProtocolError);
  Send(Headers(3, HeaderBlock(With(kPost, {{"content-length", "2"}})), false) +
       Frame(FrameType::kData, kEndStream, 3, "too long"));
  EXPECT_EQ(requests_.requests[1]->body, "");
  EXPECT_TRUE(StreamReset(3, kProtocolError));
  EXPECT_TRUE(StillServes(5));
}

// Attack 22.
TEST_F(H2AttacksTest, TrailersEndTheirMessageOrBreakIt) {
  Send(Headers(1, HeaderBlock(kPost), false) +
       Headers(1, HeaderBlock({{"x-trailer", "1"}}), /*end=*/false));
  EXPECT_FALSE(requests_.requests[0]->had_trailers);
  EXPECT_TRUE(StreamReset(1, kProtocolError));
  Send(Headers(3, HeaderBlock(kPost), false) + Headers(3, HeaderBlock({{":path", "/x"}})));
  EXPECT_FALSE(requests_.requests[1]->had_trailers);
  EXPECT_TRUE(StreamReset(3, kProtocolError));
  EXPECT_EQ(requests_.requests[1]->ends, 1);
}

TEST_F(H2AttacksTest, NothingComesAfterAStreamsEnd) {
  Send(Headers(1, HeaderBlock(kPost), false));
  Exchange& exchange = *requests_.requests[0];
  exchange.stream->Reset();
  exchange.stream = nullptr;
  Send(Frame(FrameType::kData, 0, 1, "late") + Headers(1, HeaderBlock({{"x", "y"}})));
  EXPECT_EQ(exchange.body, "");
  EXPECT_FALSE(exchange.had_trailers);
  EXPECT_EQ(exchange.ends, 0);
  Take();
  Send(Frame(FrameType::kData, kEndStream, 1, "later"));
  EXPECT_EQ(exchange.body, "");
  EXPECT_TRUE(StillServes(3));
}

// Attack 23.
TEST_F(H2AttacksTest, TargetsHaveTheirForm) {
  ExpectMalformed({{":method", "GET"}, {":scheme", "http"}, {":path", "x"}, {":authority", "a"}});
  ExpectMalformed({{":method", "GET"}, {":scheme", "foo"}, {":path", "x"}, {":authority", "a"}});
  ExpectMalformed({{":method", "GET"}, {":scheme", "http"}, {":path", ""}, {":authority", "a"}});
  ExpectMalformed({{":method", "GET"}, {":scheme", "http"}, {":path", "*"}, {":authority", "a"}});
  ExpectMalformed({{":method", "GET"}, {":scheme", "http"}, {":path", "/#x"}, {":authority", "a"}});
  ExpectMalformed(
      {{":method", "GET"}, {":scheme", "http"}, {":path", "/a b"}, {":authority", "a"}});
  ExpectMalformed({{":method", "GET"}, {":scheme", "http"}, {":authority", "a"}});
  ExpectMalformed({{":scheme", "http"}, {":path", "/"}, {":authority", "a"}});
  ExpectMalformed({{":method", "GET"}, {":path", "/"}, {":authority", "a"}});
  ExpectMalformed({{":method", "G T"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}});
  ExpectMalformed({{":method", "CONNECT"}}, false);
  ExpectMalformed({{":method", "CONNECT"}, {":authority", "a:1"}, {":path", "/"}}, false);
  ExpectMalformed(With(kGet, {{":path", "/twice"}}));
  ExpectMalformed(With(kGet, {{":status", "200"}}));
  ExpectMalformed(With(kGet, {{":new", "x"}}));
  ExpectMalformed(With({{"x", "y"}}, kGet));
  ExpectMalformed(With(kGet, {{":protocol", "websocket"}}), false);
}

TEST_F(H2AttacksTest, AuthoritiesAreOneAndPlain) {
  ExpectMalformed(With(kGet, {{"host", "other"}}));
  ExpectMalformed(
      {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "me@a"}});
  ExpectMalformed({{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a/b"}});
  ExpectMalformed(
      {{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {"host", "a"}, {"host", "a"}});
  Send(Headers(1, HeaderBlock(With(kGet, {{"host", "a"}}))));
  ASSERT_EQ(requests_.requests.size(), 1u);
  EXPECT_EQ(requests_.requests[0]->authority, "a");
  EXPECT_EQ(requests_.requests[0]->headers, "");
  Send(Headers(
      3, HeaderBlock({{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {"host", "b"}})));
  EXPECT_EQ(requests_.requests[1]->authority, "b");
}

TEST_F(H2AttacksTest, WhoeverHasEndedAStreamMayNotGoOnWithIt) {
  constexpr uint32_t kStreamClosed = 5;
  // The code of the GOAWAY that these get, each read alone; 0: none.
  const auto take = [](const std::vector<std::string>& reads, bool respond) {
    testing::ServerRecorder requests;
    if (respond) requests.on_request = [](Exchange& exchange) { exchange.Respond(200, ""); };
    H2ServerCodec server(requests, {});
    uint32_t code = 0;
    testing::Feed(server, absl::StrCat(kClientPreface, Frame(FrameType::kSettings, 0, 0, "")));
    for (const std::string& read : reads) {
      testing::Feed(server, read);
      for (const auto& answer : ParseFrames(testing::Drain(server))) {
        if (answer.type != FrameType::kGoaway) continue;
        EXPECT_FALSE(server.error().empty());
        code = static_cast<uint8_t>(answer.payload[7]);
      }
    }
    return code;
  };
  const std::string data = Frame(FrameType::kData, 0, 1, "late");
  const std::string cancel = Frame(FrameType::kRstStream, 0, 1, Number(8));
  const std::string post = Headers(1, HeaderBlock(kPost), false);
  const std::string last = Frame(FrameType::kData, kEndStream, 1, "last");
  for (const std::string& more : {data, last, Get(1), post}) {
    EXPECT_EQ(take({Get(1), more}, true), kStreamClosed);
    EXPECT_EQ(take({Get(1), more}, false), kStreamClosed);
    EXPECT_EQ(take({Get(1), cancel, more}, false), kStreamClosed);
    EXPECT_EQ(take({Get(1) + cancel + more}, false), kStreamClosed);
    EXPECT_EQ(take({post, last, more}, true), kStreamClosed);
    EXPECT_EQ(take({post + last + more}, true), kStreamClosed);
    EXPECT_EQ(take({post, cancel.substr(0, 5), cancel.substr(5) + more.substr(0, 7)}, true), 0u);
    EXPECT_EQ(take({post, cancel + more.substr(0, 7), more.substr(7)}, true), kStreamClosed);
  }
  EXPECT_EQ(take({Get(1), cancel, Get(3)}, true), 0u);
  EXPECT_EQ(take({Get(5), Get(3)}, false), kProtocolError);
  // A stream that we have reset: what was on its way is forgiven.
  Send(Headers(1, HeaderBlock(kPost), false));
  requests_.requests[0]->stream->Reset();
  requests_.requests[0]->stream = nullptr;
  Take();
  Send(data + Headers(1, HeaderBlock({{"x", "y"}})));
  EXPECT_TRUE(StillServes(3));
}

TEST_F(H2AttacksTest, WhatComesOnAStreamThatWeResetGivesItsWindowBack) {
  Send(Headers(1, HeaderBlock(kPost), false));
  requests_.requests[0]->stream->Reset();
  requests_.requests[0]->stream = nullptr;
  Take();
  uint32_t given = 0;
  const std::string data = Frame(FrameType::kData, 0, 1, std::string(16'000, 'x'));
  const uint32_t window = CodecLimits().connection_window;
  for (uint32_t sent = 0; sent < 2 * window; sent += 16'000) {
    Send(data);
    for (const auto& frame : Take()) {
      if (frame.type != FrameType::kWindowUpdate || frame.stream != 0) continue;
      for (int i = 0; i < 4; ++i) given += static_cast<uint8_t>(frame.payload[i]) << (24 - 8 * i);
    }
  }
  EXPECT_GE(given, window) << server_.error();
  EXPECT_TRUE(StillServes(3));
}

// Attack 24.
TEST_F(H2AttacksTest, AMassResetIsNotQuadratic) {
  const auto run = [this](uint32_t streams) {
    CodecLimits limits;
    limits.max_concurrent_streams = streams;
    testing::ServerRecorder requests;
    H2ServerCodec server(requests, limits);
    testing::Feed(server, absl::StrCat(kClientPreface, Frame(FrameType::kSettings, 0, 0, "")));
    std::string all;
    for (uint32_t i = 0; i < streams; ++i) all += Get(2 * i + 1);
    testing::Feed(server, all, 0, now_);
    EXPECT_EQ(server.active_streams(), streams);
    const auto now = [] {
      timespec time;
      clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
      return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
    };
    const auto start = now();
    server.OnConnectionClosed();
    EXPECT_EQ(server.active_streams(), 0u);
    return now() - start;
  };
  run(1000);
  const auto small = run(2'000);
  // Ten times the streams: a hundred times the time, if it were.
  EXPECT_LT(run(20'000), 50 * small + std::chrono::milliseconds(50));
}

// Attack 25.
TEST_F(H2AttacksTest, FieldsThatHaveNoPlaceHereBreakTheirMessage) {
  ExpectMalformed(With(kGet, {{"X-Upper", "1"}}));
  ExpectMalformed(With(kGet, {{"connection", "close"}}));
  ExpectMalformed(With(kGet, {{"keep-alive", "5"}}));
  ExpectMalformed(With(kGet, {{"proxy-connection", "x"}}));
  ExpectMalformed(With(kGet, {{"transfer-encoding", "chunked"}}));
  ExpectMalformed(With(kGet, {{"upgrade", "h2c"}}));
  ExpectMalformed(With(kGet, {{"te", "gzip"}}));
  ExpectMalformed(With(kGet, {{"x", "a\r\nb: c"}}));
  ExpectMalformed(With(kGet, {{"x", std::string("a\0b", 3)}}));
  ExpectMalformed(With(kGet, {{"a b", "c"}}));
  ExpectMalformed(With(kGet, {{"", "c"}}));
  Send(Headers(1, HeaderBlock(With(kGet, {{"te", "trailers"}, {"http2-settings", "AAM"}}))));
  ASSERT_EQ(requests_.requests.size(), 1u);
}

TEST_F(H2AttacksTest, MoreStreamsThanAllowedAreRefusedAndTheRestGoOn) {
  uint32_t stream = 1;
  for (uint32_t i = 0; i < CodecLimits().max_concurrent_streams; ++i, stream += 2)
    Send(Get(stream));
  Take();
  Send(Get(stream));
  EXPECT_EQ(server_.active_streams(), CodecLimits().max_concurrent_streams);
  EXPECT_TRUE(StreamReset(stream, 7) || StreamReset(stream, kProtocolError));
  requests_.requests[0]->Respond(200, "x");
  EXPECT_FALSE(Take().empty());
}

TEST_F(H2AttacksTest, WhatIsNoHttp2EndsTheConnection) {
  testing::ServerRecorder requests;
  H2ServerCodec server(requests, {});
  testing::Feed(server, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
  bool open = true;
  testing::Drain(server, &open);
  EXPECT_FALSE(open);
  EXPECT_NE(server.error(), "");
}

TEST_F(H2AttacksTest, ASlowPrefaceIsTimed) {
  testing::ServerRecorder requests;
  H2ServerCodec server(requests, {});
  testing::Feed(server, "PRI * HT", 0, now_);
  EXPECT_EQ(server.head_since(), now_);
  EXPECT_EQ(server_.head_since(), Instant::max());
}

// The other direction: a server that means its clients ill.
class H2HostileServerTest : public ::testing::Test {
 protected:
  H2HostileServerTest() {
    Send(Frame(FrameType::kSettings, 0, 0, ""));
    RequestHead head;
    FillRequest(head, "GET", "/");
    call_.stream = client_.NewStream(call_);
    call_.stream->SendHeaders(head, true);
    testing::Drain(client_);
  }
  void Send(absl::string_view bytes) { testing::Feed(client_, bytes); }
  void Answer(const testing::Fields& fields, bool end = true) {
    Send(Frame(FrameType::kHeaders, kEndHeaders | (end ? kEndStream : 0), 1, HeaderBlock(fields)));
    testing::Drain(client_);
  }

  Call call_;
  testing::ClientRecorder owner_;
  H2ClientCodec client_{owner_, {}};
};

TEST_F(H2HostileServerTest, AnswersThatBreakTheRulesAreErrors) {
  Answer({{":status", "101"}}, false);
  EXPECT_EQ(call_.status, 0);
  EXPECT_EQ(call_.end, StreamEnd::kProtocolError);
  EXPECT_EQ(call_.ends, 1);
}

TEST_F(H2HostileServerTest, AnswersWithoutAStatusAreErrors) {
  Answer({{"x", "y"}});
  EXPECT_EQ(call_.status, 0);
  EXPECT_EQ(call_.end, StreamEnd::kProtocolError);
}

TEST_F(H2HostileServerTest, AFalseLengthIsAnError) {
  Answer({{":status", "200"}, {"content-length", "5"}}, true);
  EXPECT_EQ(call_.status, 0);
  EXPECT_EQ(call_.end, StreamEnd::kProtocolError);
}

TEST_F(H2HostileServerTest, TooManyFieldsAreALimit) {
  testing::Fields fields = {{":status", "200"}};
  for (int i = 0; i < 200; ++i) fields.push_back({absl::StrCat("x-", i), "y"});
  Answer(fields);
  EXPECT_EQ(call_.status, 0);
  EXPECT_EQ(call_.end, StreamEnd::kLimit);
}

// gRPC's does, when a call is cancelled as it ends.
TEST_F(H2HostileServerTest, AServerThatEndsItsAnswerTwiceIsPassedOver) {
  Answer({{":status", "200"}});
  EXPECT_EQ(call_.end, StreamEnd::kFinished);
  Answer({{":status", "200"}});
  Send(Frame(FrameType::kData, 0, 1, "more") + Frame(FrameType::kRstStream, 0, 1, Number(0)));
  bool open = false;
  testing::Drain(client_, &open);
  EXPECT_TRUE(open);
  EXPECT_EQ(client_.error(), "");
  EXPECT_EQ(call_.ends, 1);
}

TEST_F(H2HostileServerTest, EndlessInformationalAnswersAreALimit) {
  for (int i = 0; i < 100 && call_.ends == 0; ++i) Answer({{":status", "103"}}, false);
  EXPECT_EQ(call_.informational.size(), 32u);
  EXPECT_EQ(call_.end, StreamEnd::kLimit);
}

TEST_F(H2HostileServerTest, PushesAreRefusedAndAFloodOfThemEndsTheConnection) {
  const std::string head =
      HeaderBlock({{":method", "GET"}, {":scheme", "http"}, {":path", "/"}, {":authority", "a"}});
  bool open = true;
  uint32_t promised = 2;
  for (; promised < 4000 && open; promised += 2) {
    Send(Frame(FrameType::kPushPromise, kEndHeaders, 1, absl::StrCat(Number(promised), head)));
    const auto frames = ParseFrames(testing::Drain(client_, &open));
    if (promised > 2) continue;
    ASSERT_EQ(frames.size(), 1u);
    EXPECT_EQ(frames[0].type, FrameType::kRstStream);
    EXPECT_EQ(frames[0].stream, 2u);
  }
  EXPECT_FALSE(open);
  EXPECT_LT(promised, 300u);
  client_.OnConnectionClosed();
  EXPECT_EQ(call_.end, StreamEnd::kProtocolError);
}

}  // namespace
}  // namespace countersign::http::h2
