// Two sessions back to back in memory, and a server against frames made by hand.
#include "proxy/http/h2/tunnel_session.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace countersign::http::h2 {
namespace {

using buffer::Buffer;
using buffer::ByteStream;
using buffer::CloseReason;

// One end of a stream, and what has come to it.
struct Endpoint : ByteStream::Handler {
  void OnOpen(ByteStream&) override { opened = true; }
  void OnData(ByteStream&, Buffer& data, bool end) override {
    received += data.ToString();
    data.Clear();
    ended = ended || end;
  }
  void OnWritable(ByteStream&) override { ++writable; }
  void OnClosed(ByteStream&, CloseReason reason) override { closed = reason; }

  std::unique_ptr<TunnelStream> stream;
  std::string received;
  bool opened = false;
  bool ended = false;
  int writable = 0;
  CloseReason closed = CloseReason::kNone;
};

// A side of the connection: its session, and the streams that it was asked for.
struct Side : TunnelSession::Owner {
  explicit Side(TunnelSession::Role role, const TunnelSession::Limits& limits = {})
      : session(std::make_unique<TunnelSession>(role, *this, limits)) {}

  void OnSessionOutput() override {}
  void OnTunnelRequest(std::unique_ptr<TunnelStream> stream, absl::string_view authority) override {
    authorities.emplace_back(authority);
    if (refuse) return stream->Refuse(503, "no such application");
    auto endpoint = std::make_unique<Endpoint>();
    endpoint->stream = std::move(stream);
    endpoint->stream->SetHandler(endpoint.get());
    if (accept) endpoint->stream->Accept();
    endpoints.push_back(std::move(endpoint));
  }
  void OnSessionDraining() override { draining = true; }
  void OnStreamGone() override {}

  std::unique_ptr<Endpoint> Open(const std::string& authority) {
    auto endpoint = std::make_unique<Endpoint>();
    endpoint->stream = session->Open(authority);
    if (endpoint->stream == nullptr) return nullptr;
    endpoint->stream->SetHandler(endpoint.get());
    return endpoint;
  }

  bool accept = true;
  bool refuse = false;
  bool draining = false;
  std::vector<std::string> authorities;
  std::vector<std::unique_ptr<Endpoint>> endpoints;
  std::unique_ptr<TunnelSession> session;  // dies before its streams' handlers
};

void Write(Endpoint& endpoint, const std::string& text, bool end = false) {
  Buffer data;
  data.Append(text);
  endpoint.stream->Write(data, end);
}

// Carries bytes until neither side has any. False once a side is broken.
bool Pump(Side& a, Side& b, size_t limit = 1 << 20) {
  const FrameBudget::Instant now{std::chrono::hours(1)};
  for (int i = 0; i < 1000; ++i) {
    Buffer from_a, from_b;
    a.session->Produce(from_a, limit);
    b.session->Produce(from_b, limit);
    if (from_a.empty() && from_b.empty()) return true;
    const bool ok = b.session->Receive(from_a, now) & a.session->Receive(from_b, now);
    if (!ok) return false;
  }
  return true;
}

TEST(TunnelSessionTest, CarriesBytesBothWaysAndHalfCloses) {
  Side client(TunnelSession::Role::kClient), server(TunnelSession::Role::kServer);
  auto stream = client.Open("10.0.0.1:80");
  Write(*stream, "with the request");
  ASSERT_TRUE(Pump(client, server));
  ASSERT_EQ(server.authorities, std::vector<std::string>{"10.0.0.1:80"});
  Endpoint& other = *server.endpoints[0];
  EXPECT_EQ(other.received, "with the request");
  EXPECT_TRUE(stream->opened);
  Write(other, "answer", /*end=*/true);
  ASSERT_TRUE(Pump(client, server));
  EXPECT_EQ(stream->received, "answer");
  EXPECT_TRUE(stream->ended);
  EXPECT_EQ(stream->closed, CloseReason::kNone);
  Write(*stream, "last words", /*end=*/true);
  ASSERT_TRUE(Pump(client, server));
  EXPECT_EQ(other.received, "with the requestlast words");
  EXPECT_EQ(stream->closed, CloseReason::kFinished);
  EXPECT_EQ(other.closed, CloseReason::kFinished);
  EXPECT_EQ(client.session->active_streams(), 0);
  EXPECT_EQ(server.session->active_streams(), 0);
}

TEST(TunnelSessionTest, AResetTravelsBothWays) {
  Side client(TunnelSession::Role::kClient), server(TunnelSession::Role::kServer);
  auto one = client.Open("10.0.0.1:80");
  auto two = client.Open("10.0.0.1:80");
  ASSERT_TRUE(Pump(client, server));
  one->stream->Reset();
  server.endpoints[1]->stream->Reset();
  ASSERT_TRUE(Pump(client, server));
  EXPECT_EQ(server.endpoints[0]->closed, CloseReason::kPeerReset);
  EXPECT_EQ(two->closed, CloseReason::kPeerReset);
}

TEST(TunnelSessionTest, ARefusalBringsItsReason) {
  Side client(TunnelSession::Role::kClient), server(TunnelSession::Role::kServer);
  server.refuse = true;
  auto stream = client.Open("10.0.0.1:80");
  Write(*stream, "early");
  ASSERT_TRUE(Pump(client, server));
  EXPECT_EQ(stream->closed, CloseReason::kTunnelRefused);
  EXPECT_EQ(stream->stream->status(), 503);
  EXPECT_EQ(stream->stream->refusal(), "no such application");
  EXPECT_EQ(server.session->active_streams(), 0);
  // The session goes on.
  server.refuse = false;
  auto again = client.Open("10.0.0.1:80");
  ASSERT_TRUE(Pump(client, server));
  EXPECT_TRUE(again->opened);
}

TEST(TunnelSessionTest, AStoppedReaderBoundsWhatIsSentToIt) {
  Side client(TunnelSession::Role::kClient), server(TunnelSession::Role::kServer);
  auto stalled = client.Open("10.0.0.1:80");
  auto other = client.Open("10.0.0.1:81");
  ASSERT_TRUE(Pump(client, server));
  server.endpoints[0]->stream->ReadDisable(true);
  const std::string part(1 << 20, 'x');
  for (int i = 0; i < 4; ++i) Write(*stalled, part);
  ASSERT_TRUE(Pump(client, server));
  EXPECT_EQ(server.endpoints[0]->received.size(), size_t{1} << 20);  // one window
  // The others do not wait for it.
  Write(*other, part + part);
  ASSERT_TRUE(Pump(client, server));
  EXPECT_EQ(server.endpoints[1]->received.size(), size_t{2} << 20);
  server.endpoints[0]->stream->ReadDisable(false);
  ASSERT_TRUE(Pump(client, server));
  EXPECT_EQ(server.endpoints[0]->received.size(), size_t{4} << 20);
  EXPECT_GE(stalled->writable, 1);
}

TEST(TunnelSessionTest, OutputStopsAtItsLimit) {
  Side client(TunnelSession::Role::kClient), server(TunnelSession::Role::kServer);
  auto stream = client.Open("10.0.0.1:80");
  ASSERT_TRUE(Pump(client, server));
  Write(*stream, std::string(900'000, 'x'));
  Buffer out;
  client.session->Produce(out, 100'000);
  EXPECT_GE(out.size(), 100'000);
  EXPECT_LE(out.size(), 100'000 + 64 * 1024 + 9);
  EXPECT_TRUE(client.session->wants_write());
}

TEST(TunnelSessionTest, DrainingServesWhatRunsAndTakesNothingNew) {
  Side client(TunnelSession::Role::kClient), server(TunnelSession::Role::kServer);
  auto stream = client.Open("10.0.0.1:80");
  ASSERT_TRUE(Pump(client, server));
  server.session->StartDrain();
  ASSERT_TRUE(Pump(client, server));
  EXPECT_TRUE(client.draining);
  EXPECT_EQ(client.Open("10.0.0.1:80"), nullptr);
  Write(*stream, "still");
  ASSERT_TRUE(Pump(client, server));
  EXPECT_EQ(server.endpoints[0]->received, "still");
}

TEST(TunnelSessionTest, StreamsOutliveTheirSession) {
  auto client = std::make_unique<Side>(TunnelSession::Role::kClient);
  Side server(TunnelSession::Role::kServer);
  auto stream = client->Open("10.0.0.1:80");
  ASSERT_TRUE(Pump(*client, server));
  client.reset();
  EXPECT_EQ(stream->closed, CloseReason::kTunnelLost);
  Write(*stream, "into the void");
  stream->stream->ReadDisable(true);
  stream->stream->ReadDisable(false);
  stream->stream->Reset();
}

TEST(TunnelSessionTest, DestroyingAnUnansweredRequestResetsIt) {
  Side client(TunnelSession::Role::kClient), server(TunnelSession::Role::kServer);
  server.accept = false;
  auto stream = client.Open("10.0.0.1:80");
  ASSERT_TRUE(Pump(client, server));
  server.endpoints.clear();
  ASSERT_TRUE(Pump(client, server));
  EXPECT_EQ(stream->closed, CloseReason::kPeerReset);
}

std::string Frame(uint8_t type, uint8_t flags, uint32_t stream, const std::string& payload) {
  std::string frame;
  const size_t n = payload.size();
  frame += static_cast<char>(n >> 16);
  frame += static_cast<char>(n >> 8);
  frame += static_cast<char>(n);
  frame += static_cast<char>(type);
  frame += static_cast<char>(flags);
  for (int shift = 24; shift >= 0; shift -= 8) frame += static_cast<char>(stream >> shift);
  return frame + payload;
}

// A server that has seen the preface.
class HandMadeFrames : public ::testing::Test {
 protected:
  HandMadeFrames() { EXPECT_TRUE(Send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + Frame(4, 0, 0, ""))); }
  // False once the session is over, in whatever way.
  bool Send(const std::string& bytes) {
    Buffer data, out;
    data.Append(bytes);
    const bool received = server_.session->Receive(data, now_);
    const bool alive = server_.session->Produce(out, 1 << 20);
    sent_ += out.ToString();
    return received && alive;
  }
  // How many of `frame` it takes.
  int Flood(const std::string& frame, int most = 100'000) {
    for (int i = 0; i < most; ++i) {
      if (!Send(frame)) return i;
    }
    return most;
  }
  // :method CONNECT, :authority 10.0.0.1:80, never indexed nor compressed.
  static std::string Connect(uint32_t stream) {
    return Frame(1, 4, stream,
                 std::string("\x02\x07"
                             "CONNECT\x01\x0b"
                             "10.0.0.1:80"));
  }

  Side server_{TunnelSession::Role::kServer};
  FrameBudget::Instant now_{std::chrono::hours(1)};
  std::string sent_;
};

TEST_F(HandMadeFrames, FloodsOfCheapFramesEndTheSession) {
  EXPECT_LE(Flood(Frame(6, 0, 0, "12345678")), 200);  // PING
  EXPECT_NE(server_.session->error().find("flood"), std::string::npos);
  // GOAWAY says ENHANCE_YOUR_CALM.
  EXPECT_NE(sent_.find(std::string("\0\0\0\x0b", 4)), std::string::npos);
}

TEST_F(HandMadeFrames, FloodsOfSettings) { EXPECT_LE(Flood(Frame(4, 0, 0, "")), 100); }

TEST_F(HandMadeFrames, FloodsOfPriority) {
  EXPECT_LE(Flood(Frame(2, 0, 1, std::string("\0\0\0\0\x10", 5))), 2000);
}

TEST_F(HandMadeFrames, FloodsOfWindowUpdates) {
  EXPECT_LE(Flood(Frame(8, 0, 0, std::string("\0\0\0\x01", 4))), 25'000);
}

TEST_F(HandMadeFrames, FloodsOfEmptyData) {
  ASSERT_TRUE(Send(Connect(1)));
  ASSERT_EQ(server_.endpoints.size(), 1);
  EXPECT_LE(Flood(Frame(0, 0, 1, "")), 200);
}

TEST_F(HandMadeFrames, FloodsOfUnknownFrames) { EXPECT_LE(Flood(Frame(77, 0, 0, "abc")), 200); }

TEST_F(HandMadeFrames, RapidResetEndsTheSession) {
  int i = 0;
  for (; i < 20'000; ++i) {
    const uint32_t stream = static_cast<uint32_t>(2 * i + 1);
    if (!Send(Connect(stream) + Frame(3, 0, stream, std::string("\0\0\0\x08", 4)))) break;
    server_.endpoints.clear();
  }
  EXPECT_LE(i, 5000);
}

TEST_F(HandMadeFrames, MakingUsResetEndsTheSession) {
  int i = 0;
  for (; i < 20'000; ++i) {
    const uint32_t stream = static_cast<uint32_t>(2 * i + 1);
    // A window of more than 2^31-1: the server must reset the stream.
    const std::string overflow = std::string("\x7f\xff\xff\xff", 4);
    if (!Send(Connect(stream) + Frame(8, 0, stream, overflow))) break;
    server_.endpoints.clear();
  }
  EXPECT_LE(i, 1000);
}

TEST_F(HandMadeFrames, AContinuationFloodEndsTheSession) {
  ASSERT_TRUE(Send(Frame(1, 0, 1, "")));
  EXPECT_LE(Flood(Frame(9, 0, 1, "")), 100);
}

TEST_F(HandMadeFrames, AHeaderBombIsReset) {
  // A field of 4,000 bytes in the table, then references to it.
  std::string block("\x40\x01x\x7f\xa1\x1e", 6);
  block += std::string(4000, 'v');
  block += std::string(4000, '\xbe');
  Send(Frame(1, 4, 1, block));
  EXPECT_TRUE(server_.endpoints.empty());
  EXPECT_EQ(server_.session->active_streams(), 0);
}

TEST_F(HandMadeFrames, OtherMethodsAreRefused) {
  // GET / with https and an authority.
  ASSERT_TRUE(Send(Frame(1, 5, 1,
                         std::string("\x82\x87\x84\x01\x0b"
                                     "10.0.0.1:80"))));
  EXPECT_TRUE(server_.endpoints.empty());
  EXPECT_TRUE(server_.authorities.empty());
  // Answered (HEADERS with END_STREAM, on stream 1), and the session goes on.
  EXPECT_NE(sent_.find(std::string("\x01\x05\0\0\0\x01", 6)), std::string::npos);
  EXPECT_TRUE(Send(Connect(3)));
  EXPECT_EQ(server_.endpoints.size(), 1);
}

TEST_F(HandMadeFrames, ConnectWithoutAuthorityIsReset) {
  Send(Frame(1, 4, 1,
             std::string("\x02\x07"
                         "CONNECT")));
  EXPECT_TRUE(server_.endpoints.empty());
  EXPECT_EQ(server_.session->active_streams(), 0);
}

TEST_F(HandMadeFrames, GarbageInsteadOfThePrefaceEndsTheSession) {
  Side server(TunnelSession::Role::kServer);
  Buffer data;
  data.Append("GET / HTTP/1.1\r\nhost: x\r\n\r\n");
  EXPECT_FALSE(server.session->Receive(data, now_));
}

TEST_F(HandMadeFrames, WhoeverHasEndedAStreamMayNotGoOnWithIt) {
  ASSERT_TRUE(Send(Connect(1) + Frame(3, 0, 1, std::string("\0\0\0\x08", 4))));
  sent_.clear();
  EXPECT_FALSE(Send(Frame(0, 0, 1, "more")));
  EXPECT_NE(server_.session->error().find("had ended"), std::string::npos);
  EXPECT_NE(sent_.find(std::string("\0\0\0\x05", 4)), std::string::npos);  // STREAM_CLOSED
}

TEST_F(HandMadeFrames, DataAfterAResetCallsNobody) {
  ASSERT_TRUE(Send(Connect(1)));
  server_.endpoints.clear();
  EXPECT_TRUE(Send(Frame(0, 0, 1, "too late")));
}

}  // namespace
}  // namespace countersign::http::h2
