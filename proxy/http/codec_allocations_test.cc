// In steady state no request allocates: of both versions, both ends together.
#include <chrono>
#include <string>

#include "gtest/gtest.h"
#include "proxy/buffer/buffer.h"
#include "proxy/http/codec.h"
#include "proxy/http/h1/h1_client_codec.h"
#include "proxy/http/h1/h1_server_codec.h"
#include "proxy/http/h2/h2_client_codec.h"
#include "proxy/http/h2/h2_server_codec.h"
#include "proxy/http/testing/allocation_counter.h"

namespace countersign::http {
namespace {

using buffer::Buffer;

// Answers at once, with a body.
class Server final : public ServerCodec::Owner, public Stream::Handler {
 public:
  Server() {
    head_.status = 200;
    head_.headers.Add(HeaderId::kContentType, "text/plain");
    head_.headers.Add(HeaderId::kContentLength, "5");
  }
  void OnRequest(ServerStream& stream) override {
    stream.SetHandler(this);
    stream_ = &stream;
    if (stream.request_complete()) Answer();
  }
  void OnData(Buffer& data, bool end) override {
    data.Clear();
    if (end) Answer();
  }
  void OnBadRequest(uint16_t, absl::string_view) override {}
  void OnCodecOutput() override {}
  void OnCodecReadDisable(bool) override {}
  void OnStreamGone() override {}
  void OnTrailers(HeaderMap&) override {}
  void OnWritable() override {}
  void OnEnd(StreamEnd) override {}

 private:
  void Answer() {
    stream_->SendHeaders(head_, false);
    Buffer body;
    body.Append("hello");
    stream_->SendData(body, true);
  }
  ResponseHead head_;
  ServerStream* stream_ = nullptr;
};

class Client final : public ClientCodec::Owner, public ClientStream::Handler {
 public:
  Client() {
    head_.method = "POST";
    head_.authority = "shop";
    head_.path = "/items/1";
    head_.headers.Add("accept", "*/*");
    head_.headers.Add("x-a-name-of-its-own", "a value of its own");
    head_.headers.Add(HeaderId::kCookie, "a=1; b=2");
  }
  void Post(ClientCodec& codec) {
    ClientStream* stream = codec.NewStream(*this);
    stream->SendHeaders(head_, false);
    Buffer body;
    body.Append("a body");
    stream->SendData(body, true);
  }
  void OnCodecOutput() override {}
  void OnCodecReadDisable(bool) override {}
  void OnStreamGone() override {}
  void OnPeerDraining() override {}
  void OnInformational(ResponseHead&) override {}
  void OnHeaders(ResponseHead&, bool) override {}
  void OnData(Buffer& data, bool) override { data.Clear(); }
  void OnTrailers(HeaderMap&) override {}
  void OnWritable() override {}
  void OnEnd(StreamEnd end) override { finished += end == StreamEnd::kFinished; }

  int finished = 0;

 private:
  RequestHead head_;
};

void Converse(Codec& a, Codec& b) {
  for (bool moved = true; moved;) {
    Buffer up;
    (void)a.Produce(up, 65536);
    Buffer down;
    if (!up.empty()) b.Receive(up, false, Instant());
    (void)b.Produce(down, 65536);
    moved = !down.empty();
    if (moved) a.Receive(down, false, Instant());
  }
}

template <typename ClientCodecType, typename ServerCodecType>
void ExpectNoAllocations() {
  constexpr int kRequests = 2000;
  Server server;
  Client client;
  ServerCodecType server_codec(server, CodecLimits());
  ClientCodecType client_codec(client, CodecLimits());
  Converse(client_codec, server_codec);
  for (int i = 0; i < 200; ++i) {
    client.Post(client_codec);
    Converse(client_codec, server_codec);
  }
  const uint64_t before = testing::Allocations();
  for (int i = 0; i < kRequests; ++i) {
    client.Post(client_codec);
    Converse(client_codec, server_codec);
  }
  EXPECT_EQ(testing::Allocations() - before, 0u);
  EXPECT_EQ(client.finished, 200 + kRequests);
}

// A sanitizer has its own malloc, which is not counted: there the others only run the codecs.
#if !defined(COUNTERSIGN_ASAN) && !defined(COUNTERSIGN_TSAN)
TEST(CodecAllocationsTest, AreCounted) {
  ASSERT_TRUE(testing::CanCountAllocations());
  const uint64_t before = testing::Allocations();
  const std::string text(1000, 'x');
  EXPECT_EQ(text.size() + testing::Allocations() - before, 1001u);
}
#endif

TEST(CodecAllocationsTest, NoneForARequestInHttp2) {
  ExpectNoAllocations<h2::H2ClientCodec, h2::H2ServerCodec>();
}

TEST(CodecAllocationsTest, NoneForARequestInHttp1) {
  ExpectNoAllocations<h1::H1ClientCodec, h1::H1ServerCodec>();
}

}  // namespace
}  // namespace countersign::http
