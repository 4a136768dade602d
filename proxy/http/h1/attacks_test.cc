// What a hostile client may try over HTTP/1.
#include <time.h>

#include <algorithm>
#include <chrono>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "proxy/http/h1/h1_server_codec.h"
#include "proxy/http/testing/http1_attacks.h"
#include "proxy/http/testing/recorders.h"

namespace countersign::http::h1 {
namespace {

using testing::Drain;
using testing::Exchange;
using testing::Feed;
using testing::Http1Attack;

// The least of several, in time of this thread alone: the machine may be busy.
std::chrono::nanoseconds TimeOf(const std::string& text, size_t piece) {
  const auto now = [] {
    timespec time;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
    return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
  };
  std::chrono::nanoseconds least = std::chrono::hours(1);
  for (int i = 0; i < 5; ++i) {
    testing::ServerRecorder requests;
    H1ServerCodec codec(requests, {});
    const std::chrono::nanoseconds start = now();
    Feed(codec, text, piece);
    least = std::min<std::chrono::nanoseconds>(least, now() - start);
  }
  return least;
}

// Attacks 1 to 7 and 11: refused with an answer that says why, whatever the pieces they come in.
TEST(H1AttacksTest, AmbiguousRequestsAreRefusedAndTheConnectionEnds) {
  for (const Http1Attack& attack : testing::Http1Attacks()) {
    for (const size_t piece : {size_t{0}, size_t{1}, size_t{7}}) {
      testing::ServerRecorder requests;
      H1ServerCodec codec(requests, {});
      // Something to smuggle behind it.
      Feed(codec, attack.text + "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", piece);
      bool open = true;
      const std::string answer = Drain(codec, &open);
      EXPECT_TRUE(absl::StartsWith(answer, absl::StrCat("HTTP/1.1 ", attack.status, " ")))
          << attack.name << ": " << answer.substr(0, 200);
      EXPECT_TRUE(absl::StrContains(answer, "connection: close\r\n")) << attack.name;
      EXPECT_TRUE(absl::StrContains(
          answer, absl::StrCat("\r\nx-countersign-reason: ", RefusalReason(attack.status),
                               "\r\nx-countersign-flags: DPE\r\n")))
          << attack.name;
      EXPECT_FALSE(open) << attack.name;
      EXPECT_NE(codec.error(), "") << attack.name;
      for (const auto& request : requests.requests) {
        EXPECT_NE(request->path, "/smuggled") << attack.name;
        EXPECT_FALSE(request->complete) << attack.name;
        EXPECT_EQ(request->end, StreamEnd::kProtocolError) << attack.name;
      }
    }
  }
}

// Attack 8.
TEST(H1AttacksTest, TrailersAreNeverHeaders) {
  testing::ServerRecorder requests;
  H1ServerCodec codec(requests, {});
  Feed(codec,
       "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n"
       "Content-Length: 5\r\nHost: b\r\nTransfer-Encoding: chunked\r\nX-Sum: 1\r\n"
       "X-Forwarded-Client-Cert: URI=spiffe://evil\r\nAuthorization: x\r\n\r\n");
  ASSERT_EQ(requests.requests.size(), 1u);
  const Exchange& exchange = *requests.requests[0];
  EXPECT_EQ(exchange.trailers, "x-sum: 1\n");
  EXPECT_EQ(exchange.stream->request().headers.size(), 0u);
  EXPECT_EQ(exchange.stream->request().authority, "a");
}

TEST(H1AttacksTest, BrokenTrailersBreakTheirRequest) {
  for (const std::string trailers : {"X : 1\r\n\r\n", ": 1\r\n\r\n", "X: a\rb\r\n\r\n",
                                     " X: 1\r\n\r\n", "X: 1\n\n", "X\r\n\r\n"}) {
    testing::ServerRecorder requests;
    H1ServerCodec codec(requests, {});
    Feed(codec, "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n" + trailers);
    EXPECT_EQ(requests.requests[0]->end, StreamEnd::kProtocolError) << trailers;
    EXPECT_FALSE(requests.requests[0]->had_trailers);
  }
}

// Attack 9.
TEST(H1AttacksTest, EarlyDataIsNobodysBeforeTheAnswer) {
  testing::ServerRecorder requests;
  H1ServerCodec codec(requests, {});
  Feed(codec, "CONNECT db:1 HTTP/1.1\r\nHost: db:1\r\n\r\n" + std::string(200'000, 'e'));
  EXPECT_EQ(requests.requests[0]->body, "");
  EXPECT_TRUE(requests.read_disabled);
  requests.requests[0]->Respond(200, "");
  Drain(codec);
  EXPECT_EQ(requests.requests[0]->body.size(), 200'000u);
}

// Attack 10.
TEST(H1AttacksTest, AnUpgradeToH2cIsNotHeard) {
  testing::ServerRecorder requests;
  H1ServerCodec codec(requests, {});
  Feed(codec,
       "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: H2C\r\n"
       "HTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n\r\n");
  ASSERT_EQ(requests.requests.size(), 1u);
  EXPECT_EQ(requests.requests[0]->upgrade, "");
  EXPECT_EQ(requests.requests[0]->headers, "");
  EXPECT_TRUE(requests.requests[0]->complete);
}

// Attack 13.
TEST(H1AttacksTest, AConnectionOptionCannotRemoveWhatComesLater) {
  testing::ServerRecorder requests;
  H1ServerCodec codec(requests, {});
  Feed(codec,
       "GET / HTTP/1.1\r\nHost: a\r\nX-Forwarded-Client-Cert: URI=spiffe://evil\r\n"
       "Connection: X-Forwarded-Client-Cert\r\n\r\n");
  RequestHead& head = requests.requests[0]->stream->request();
  EXPECT_FALSE(head.headers.Has(HeaderId::kXForwardedClientCert));
  EXPECT_FALSE(head.headers.Has(HeaderId::kConnection));
}

// Attack 14.
TEST(H1AttacksTest, HugeHeadsAreRefusedInLinearTime) {
  std::string large = "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(100'000, 'x') + "\r\n\r\n";
  std::string many = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (int i = 0; i < 10'000; ++i) absl::StrAppend(&many, "x", i, ":y\r\n");
  many += "\r\n";
  for (const std::string* text : {&large, &many}) {
    testing::ServerRecorder requests;
    H1ServerCodec codec(requests, {});
    Feed(codec, *text);
    EXPECT_EQ(requests.bad, std::vector<uint16_t>{431});
  }
  CodecLimits limits;
  std::string few = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (int i = 0; i < 200; ++i) absl::StrAppend(&few, "x", i, ":y\r\n");
  testing::ServerRecorder requests;
  H1ServerCodec codec(requests, limits);
  Feed(codec, few + "\r\n");
  EXPECT_EQ(requests.bad, std::vector<uint16_t>{431});
  // Byte by byte: 16 times the bytes take 16 times the time, not 256 times.
  const std::string start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
  const auto small = TimeOf(start + std::string(3'000, 'x'), 1);
  const auto big = TimeOf(start + std::string(48'000, 'x'), 1);
  EXPECT_LT(big, 80 * small + std::chrono::milliseconds(20));
}

TEST(H1AttacksTest, EmptyLinesAreNoRequests) {
  testing::ServerRecorder requests;
  H1ServerCodec codec(requests, {});
  for (int i = 0; i < 100; ++i) Feed(codec, "\r\n");
  EXPECT_EQ(requests.bad, std::vector<uint16_t>{400});
}

}  // namespace
}  // namespace countersign::http::h1
