// Server and client codec against each other, over memory.
#include <deque>
#include <string>

#include "absl/strings/str_cat.h"
#include "api/net/http_limits.h"
#include "gtest/gtest.h"
#include "proxy/buffer/byte_stream.h"
#include "proxy/http/h2/h2_client_codec.h"
#include "proxy/http/h2/h2_server_codec.h"
#include "proxy/http/testing/recorders.h"

namespace countersign::http::h2 {
namespace {

using buffer::Buffer;
using testing::Call;
using testing::Converse;
using testing::Exchange;
using testing::FillRequest;

class H2CodecTest : public ::testing::Test {
 protected:
  H2CodecTest() { Converse(client_, server_); }

  Call& NewCall() { return calls_.emplace_back(); }
  void Begin(Call& call, const RequestHead& head, bool end) {
    call.stream = client_.NewStream(call);
    ASSERT_NE(call.stream, nullptr);
    call.stream->SendHeaders(head, end);
  }
  void Get(Call& call, absl::string_view path) {
    RequestHead head;
    FillRequest(head, "GET", path);
    Begin(call, head, true);
  }
  void Run() { Converse(client_, server_); }
  Exchange& last() { return *requests_.requests.back(); }

  // Before the codecs, which end what is left in them.
  std::deque<Call> calls_;
  testing::ServerRecorder requests_;
  testing::ClientRecorder owner_;
  H2ServerCodec server_{requests_, {}};
  H2ClientCodec client_{owner_, {}};
};

TEST_F(H2CodecTest, ARequestAndItsAnswerArriveWhole) {
  RequestHead head;
  FillRequest(head, "GET", "/a?b=c");
  head.headers.Add("x-one", "1");
  head.headers.Add(HeaderId::kUserAgent, "curl/8");
  Call& call = NewCall();
  Begin(call, head, true);
  Run();
  ASSERT_EQ(requests_.requests.size(), 1u);
  EXPECT_EQ(last().method, "GET");
  EXPECT_EQ(last().scheme, "http");
  EXPECT_EQ(last().authority, "shop.example");
  EXPECT_EQ(last().path, "/a?b=c");
  EXPECT_EQ(last().headers, "x-one: 1\nuser-agent: curl/8\n");
  EXPECT_EQ(last().protocol, Protocol::kHttp2);
  EXPECT_TRUE(last().complete);
  last().Respond(200, "hello");
  Run();
  EXPECT_EQ(call.status, 200);
  EXPECT_EQ(call.headers, "content-length: 5\n");
  EXPECT_EQ(call.body, "hello");
  EXPECT_TRUE(call.complete);
  EXPECT_EQ(call.ends, 1);
  EXPECT_EQ(call.end, StreamEnd::kFinished);
  EXPECT_EQ(last().ends, 1);
  EXPECT_EQ(last().end, StreamEnd::kFinished);
  EXPECT_EQ(client_.active_streams(), 0u);
  EXPECT_EQ(server_.active_streams(), 0u);
  EXPECT_EQ(requests_.gone, 1);
  EXPECT_EQ(owner_.gone, 1);
}

TEST_F(H2CodecTest, BodiesAndTrailersTravelBothWays) {
  RequestHead head;
  FillRequest(head, "POST", "/upload");
  Call& call = NewCall();
  Begin(call, head, false);
  Buffer data;
  data.Append(std::string(100'000, 'u'));
  call.stream->SendData(data, false);
  HeaderMap trailers;
  trailers.Add("x-sum", "7");
  trailers.Add(HeaderId::kXForwardedClientCert, "URI=spiffe://evil");
  call.stream->SendTrailers(trailers);
  Run();
  EXPECT_EQ(last().body, std::string(100'000, 'u'));
  EXPECT_TRUE(last().complete);
  EXPECT_EQ(last().trailers, "x-sum: 7\n");
  ResponseHead answer;
  answer.status = 200;
  last().stream->SendHeaders(answer, false);
  HeaderMap status;
  status.Add(HeaderId::kGrpcStatus, "0");
  last().stream->SendTrailers(status);
  Run();
  EXPECT_EQ(call.trailers, "grpc-status: 0\n");
  EXPECT_EQ(call.end, StreamEnd::kFinished);
  EXPECT_EQ(call.ends, 1);
}

TEST_F(H2CodecTest, InformationalAnswersComeBeforeTheFinalOne) {
  Call& call = NewCall();
  Get(call, "/");
  Run();
  ResponseHead early;
  early.status = 103;
  early.headers.Add("link", "</a.css>");
  last().stream->SendInformational(early);
  Run();
  EXPECT_EQ(call.informational, std::vector<uint16_t>{103});
  last().Respond(200, "x");
  Run();
  EXPECT_EQ(call.status, 200);
  EXPECT_EQ(call.headers, "content-length: 1\n");
}

TEST_F(H2CodecTest, AnUpgradeIsAnExtendedConnect) {
  RequestHead head;
  FillRequest(head, "GET", "/chat");
  head.upgrade = "websocket";
  Call& call = NewCall();
  Begin(call, head, false);
  Run();
  ASSERT_EQ(requests_.requests.size(), 1u);
  EXPECT_EQ(last().method, "GET");
  EXPECT_EQ(last().upgrade, "websocket");
  EXPECT_EQ(last().path, "/chat");
  EXPECT_FALSE(last().complete);
  ResponseHead answer;
  answer.status = 101;
  last().stream->SendHeaders(answer, false);
  Run();
  EXPECT_EQ(call.status, 101);
  Buffer data;
  data.Append("ping");
  call.stream->SendData(data, false);
  Run();
  EXPECT_EQ(last().body, "ping");
}

TEST_F(H2CodecTest, AnUpgradeMayBeAnsweredWithoutBeingAccepted) {
  RequestHead head;
  FillRequest(head, "GET", "/chat");
  head.upgrade = "websocket";
  Call& call = NewCall();
  Begin(call, head, false);
  Run();
  EXPECT_EQ(last().headers, "");
  last().Respond(200, "plain");
  last().stream->StopRequest();
  Run();
  EXPECT_EQ(call.status, 200);
  // The answer to a CONNECT has no length: RFC 9110, section 9.3.6.
  EXPECT_EQ(call.headers, "");
  EXPECT_EQ(call.body, "plain");
  EXPECT_EQ(call.end, StreamEnd::kFinished);
}

TEST_F(H2CodecTest, ConnectCarriesNoPath) {
  RequestHead head;
  FillRequest(head, "CONNECT", "");
  head.authority = "db:5432";
  Call& call = NewCall();
  Begin(call, head, false);
  Run();
  EXPECT_EQ(last().method, "CONNECT");
  EXPECT_EQ(last().authority, "db:5432");
  EXPECT_EQ(last().path, "");
}

TEST_F(H2CodecTest, CookieCrumbsAreJoined) {
  RequestHead head;
  FillRequest(head, "GET", "/");
  head.headers.Add(HeaderId::kCookie, "a=1");
  head.headers.Add("x", "y");
  head.headers.Add(HeaderId::kCookie, "b=2");
  Call& call = NewCall();
  Begin(call, head, true);
  Run();
  EXPECT_EQ(last().headers, "x: y\ncookie: a=1; b=2\n");
}

TEST_F(H2CodecTest, AResetReachesTheOtherSide) {
  Call& call = NewCall();
  Get(call, "/");
  Run();
  last().stream->Reset();
  Run();
  EXPECT_EQ(call.end, StreamEnd::kPeerReset);
  EXPECT_EQ(call.ends, 1);
  EXPECT_EQ(last().ends, 0);
  EXPECT_EQ(server_.active_streams(), 0u);
  Call& other = NewCall();
  Get(other, "/");
  Run();
  other.stream->Reset();
  Run();
  EXPECT_EQ(last().end, StreamEnd::kPeerReset);
  EXPECT_EQ(other.ends, 0);
}

TEST_F(H2CodecTest, ARequestCancelledBeforeItLeftIsNeverSeen) {
  Call& call = NewCall();
  Get(call, "/");
  call.stream->Reset();
  Run();
  EXPECT_EQ(call.ends, 0);
  EXPECT_EQ(client_.active_streams(), 0u);
  Call& other = NewCall();
  Get(other, "/next");
  Run();
  EXPECT_EQ(last().path, "/next");
}

TEST_F(H2CodecTest, TheRestOfARequestCanBeDeclined) {
  RequestHead head;
  FillRequest(head, "POST", "/");
  Call& call = NewCall();
  Begin(call, head, false);
  Run();
  last().Respond(413, "too much");
  last().stream->StopRequest();
  Run();
  EXPECT_EQ(call.status, 413);
  EXPECT_EQ(call.body, "too much");
  EXPECT_EQ(call.end, StreamEnd::kFinished);
  EXPECT_EQ(last().end, StreamEnd::kFinished);
}

TEST_F(H2CodecTest, DrainLetsRequestsOnTheirWayFinish) {
  Call& call = NewCall();
  Get(call, "/slow");
  Run();
  server_.StartDrain();
  EXPECT_TRUE(server_.draining());
  // Sent before the client knows.
  Call& late = NewCall();
  Get(late, "/late");
  Run();
  EXPECT_EQ(owner_.draining, 1);
  EXPECT_TRUE(client_.draining());
  Call& refused = NewCall();
  EXPECT_EQ(client_.NewStream(refused), nullptr);
  ASSERT_EQ(requests_.requests.size(), 2u);
  requests_.requests[0]->Respond(200, "a");
  requests_.requests[1]->Respond(200, "b");
  Run();
  EXPECT_EQ(call.body, "a");
  EXPECT_EQ(late.body, "b");
  bool open = true;
  testing::Drain(server_, &open);
  EXPECT_FALSE(open);
  testing::Drain(client_, &open);
  EXPECT_FALSE(open);
}

TEST_F(H2CodecTest, AGoawayOnAnIdleConnectionEndsIt) {
  requests_.outputs = 0;
  testing::Feed(server_, {"\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0", 17});
  EXPECT_EQ(requests_.outputs, 1);
  bool open = true;
  testing::Drain(server_, &open);
  EXPECT_FALSE(open);
}

TEST_F(H2CodecTest, AStalledReaderStopsItsStreamAlone) {
  RequestHead head;
  FillRequest(head, "POST", "/");
  Call& stalled = NewCall();
  Begin(stalled, head, false);
  Run();
  Exchange& slow = last();
  slow.stream->ReadDisable(true);
  Buffer data;
  data.Append(std::string(2 << 20, 's'));
  stalled.stream->SendData(data, true);
  Run();
  // At most its window arrived.
  EXPECT_LE(slow.body.size(), CodecLimits().stream_window);
  EXPECT_GT(stalled.stream->unsent(), buffer::kHighWatermark);
  Call& other = NewCall();
  Begin(other, head, false);
  data.Append(std::string(1 << 20, 'o'));
  other.stream->SendData(data, true);
  Run();
  EXPECT_EQ(last().body.size(), 1u << 20);
  slow.stream->ReadDisable(false);
  Run();
  EXPECT_EQ(slow.body.size(), 2u << 20);
  EXPECT_TRUE(slow.complete);
  EXPECT_EQ(stalled.writable, 1);
}

TEST_F(H2CodecTest, AConnectionThatIsLostEndsItsStreams) {
  Call& call = NewCall();
  Get(call, "/");
  Run();
  client_.OnConnectionClosed();
  server_.OnConnectionClosed();
  EXPECT_EQ(call.end, StreamEnd::kConnectionLost);
  EXPECT_EQ(last().end, StreamEnd::kConnectionLost);
}

TEST_F(H2CodecTest, AHeadThatIsTooLargeIsAnswered431) {
  RequestHead head;
  FillRequest(head, "GET", "/");
  for (int i = 0; i < 101; ++i) head.headers.Add(absl::StrCat("x-", i), "1");
  Call& call = NewCall();
  Begin(call, head, true);
  Run();
  EXPECT_TRUE(requests_.requests.empty());
  EXPECT_EQ(requests_.bad, std::vector<uint16_t>{431});
  EXPECT_EQ(call.status, 431);
  EXPECT_EQ(call.end, StreamEnd::kFinished);
  Call& next = NewCall();
  Get(next, "/");
  Run();
  EXPECT_EQ(requests_.requests.size(), 1u);
}

TEST_F(H2CodecTest, AHeadAsLargeAsTheLimitsAllowPasses) {
  H2ServerCodec server(requests_, {.max_header_bytes = net::kMaxHeadKib * 1024});
  H2ClientCodec client(owner_, {});
  Call call;
  call.stream = client.NewStream(call);
  RequestHead head;
  FillRequest(head, "GET", "/");
  // No Huffman code makes these shorter.
  for (int i = 0; i < 6; ++i) head.headers.Add(absl::StrCat("x-", i), std::string(21'000, '\\'));
  call.stream->SendHeaders(head, true);
  Converse(client, server);
  ASSERT_EQ(requests_.requests.size(), 1u);
  EXPECT_GT(last().headers.size(), 126'000u);
  last().Respond(200, "hello");
  Converse(client, server);
  EXPECT_EQ(call.status, 200);
}

TEST_F(H2CodecTest, StreamsAboveTheLastOneOfGoawayAreSafeToRepeat) {
  Call& call = NewCall();
  Get(call, "/");
  // GOAWAY with last stream 0, as from a server that is going.
  const std::string goaway("\0\0\x08\x07\0\0\0\0\0\0\0\0\0\0\0\0\0", 17);
  testing::Drain(client_);
  testing::Feed(client_, goaway);
  EXPECT_EQ(call.end, StreamEnd::kRefused);
}

}  // namespace
}  // namespace countersign::http::h2
