// What one small request costs in the codecs alone: a client's and a server's, joined by memory,
// each with an owner that does no more than it must. `allocs` counts calls of malloc (operator
// new's among them) per request, of both ends. And what HTTP/1's parsers cost.
#include <benchmark/benchmark.h>
#include <http_parser.h>

#include <boost/beast/http.hpp>
#include <cstdlib>
#include <string>

#include "proxy/buffer/buffer.h"
#include "proxy/http/codec.h"
#include "proxy/http/field_rules.h"
#include "proxy/http/h1/h1_client_codec.h"
#include "proxy/http/h1/h1_server_codec.h"
#include "proxy/http/h1/head_collector.h"
#include "proxy/http/h1/head_parser.h"
#include "proxy/http/h2/h2_client_codec.h"
#include "proxy/http/h2/h2_server_codec.h"
#include "proxy/http/testing/allocation_counter.h"

namespace countersign::bench {
namespace {

using buffer::Buffer;
using http::ClientCodec;
using http::ClientStream;
using http::CodecLimits;
using http::HeaderMap;
using http::Instant;
using http::RequestHead;
using http::ResponseHead;
using http::ServerCodec;
using http::ServerStream;
using http::StreamEnd;

constexpr char kBody[] =
    "{\"id\":4711,\"name\":\"a small "
    "answer\",\"price\":12.50,\"stock\":17,\"tags\":[\"red\",\"blue\","
    "\"green\"],\"padding\":\"xxxxxxxxxxxxxxxxxxxxxxx\"}";

// Answers every request at once with 200 and kBody.
class Server final : public ServerCodec::Owner, public http::Stream::Handler {
 public:
  Server() {
    head_.status = 200;
    head_.headers.Add(http::HeaderId::kServer, "bench");
    head_.headers.Add(http::HeaderId::kDate, "Sun, 06 Nov 1994 08:49:37 GMT");
    head_.headers.Add(http::HeaderId::kContentType, "application/json");
    head_.headers.Add(http::HeaderId::kContentLength, std::to_string(sizeof kBody - 1));
  }
  void OnRequest(ServerStream& stream) override {
    stream.SetHandler(this);
    stream.SendHeaders(head_, false);
    Buffer body;
    body.Append(kBody, sizeof kBody - 1);
    stream.SendData(body, true);
  }
  void OnBadRequest(uint16_t, absl::string_view) override { std::abort(); }
  void OnCodecOutput() override {}
  void OnCodecReadDisable(bool) override {}
  void OnStreamGone() override {}
  void OnData(Buffer& data, bool) override { data.Clear(); }
  void OnTrailers(HeaderMap&) override {}
  void OnWritable() override {}
  void OnEnd(StreamEnd) override { ++finished; }

  uint64_t finished = 0;

 private:
  ResponseHead head_;
};

class Client final : public ClientCodec::Owner, public ClientStream::Handler {
 public:
  Client() {
    head_.method = "GET";
    head_.scheme = "http";
    head_.authority = "shop.prod.svc.cluster.local";
    head_.path = "/api/v1/items/4711";
    head_.headers.Add(http::HeaderId::kUserAgent, "Mozilla/5.0 (X11; Linux x86_64)");
    head_.headers.Add("accept", "application/json");
    head_.headers.Add("accept-encoding", "gzip, deflate");
    head_.headers.Add("accept-language", "en-GB,en;q=0.8");
    head_.headers.Add(http::HeaderId::kXForwardedProto, "http");
    head_.headers.Add("x-tenant", "acme");
    head_.headers.Add("authorization", "Bearer abcdefghijklmnopqrstuvwxyz0123456789");
    request_id_ = head_.headers.size();
    head_.headers.Add(http::HeaderId::kXRequestId, "7d1e4a52-5a0f-4e9e-9f3c-000000000000");
  }
  void Send(ClientCodec& codec) {
    // Another one every time, as in life.
    auto* id = const_cast<char*>(head_.headers.fields()[request_id_].value.data());
    for (size_t n = ++sent_, i = 35; n != 0; n /= 10) id[i--] = static_cast<char>('0' + n % 10);
    codec.NewStream(*this)->SendHeaders(head_, true);
  }
  void OnCodecOutput() override {}
  void OnCodecReadDisable(bool) override {}
  void OnStreamGone() override {}
  void OnPeerDraining() override {}
  void OnInformational(ResponseHead&) override {}
  void OnHeaders(ResponseHead& head, bool) override { bytes += head.headers.size(); }
  void OnData(Buffer& data, bool) override {
    bytes += data.size();
    data.Clear();
  }
  void OnTrailers(HeaderMap&) override {}
  void OnWritable() override {}
  void OnEnd(StreamEnd end) override {
    if (end == StreamEnd::kFinished) ++finished;
  }

  uint64_t finished = 0;
  uint64_t bytes = 0;

 private:
  RequestHead head_;
  size_t request_id_ = 0;
  size_t sent_ = 0;
};

template <typename ClientCodecType, typename ServerCodecType>
void Requests(benchmark::State& state) {
  const int batch = static_cast<int>(state.range(0));
  Server server;
  Client client;
  ServerCodecType server_codec(server, CodecLimits());
  ClientCodecType client_codec(client, CodecLimits());
  const Instant now = std::chrono::steady_clock::now();
  uint64_t wire_bytes = 0;
  const auto exchange = [&] {
    for (bool moved = true; moved;) {
      moved = false;
      Buffer up;
      client_codec.Produce(up, 256 * 1024);
      wire_bytes += up.size();
      if (!up.empty()) server_codec.Receive(up, false, now);
      Buffer down;
      server_codec.Produce(down, 256 * 1024);
      wire_bytes += down.size();
      if (down.empty()) continue;
      moved = true;
      client_codec.Receive(down, false, now);
    }
  };
  const auto round = [&] {
    for (int i = 0; i < batch; ++i) client.Send(client_codec);
    exchange();
  };
  exchange();
  for (int i = 0; i < 200; ++i) round();
  wire_bytes = 0;
  const uint64_t before = http::testing::Allocations();
  const uint64_t finished = client.finished;
  for (auto _ : state) round();
  const double requests = static_cast<double>(state.iterations()) * batch;
  if (static_cast<double>(client.finished - finished) != requests) {
    state.SkipWithError("requests were lost");
  }
  state.SetItemsProcessed(static_cast<int64_t>(requests));
  state.counters["allocs"] = static_cast<double>(http::testing::Allocations() - before) / requests;
  state.counters["wire_bytes"] = static_cast<double>(wire_bytes) / requests;
  state.counters["ns_per_request"] = benchmark::Counter(
      requests * 1e-9, benchmark::Counter::kIsRate | benchmark::Counter::kInvert);
}

BENCHMARK_TEMPLATE(Requests, http::h2::H2ClientCodec, http::h2::H2ServerCodec)
    ->Name("Http2Pair")
    ->Arg(1)
    ->Arg(8)
    ->Arg(64);
BENCHMARK_TEMPLATE(Requests, http::h1::H1ClientCodec, http::h1::H1ServerCodec)
    ->Name("Http1Pair")
    ->Arg(1);

// A small request's head, by our parser and by the two well-kept ones, all with the same use made
// of it: every field in a HeaderMap, its name in lower case.
constexpr char kHead[] =
    "GET /api/v1/items/4711 HTTP/1.1\r\nHost: shop.prod.svc.cluster.local\r\n"
    "User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\nAccept: application/json\r\n"
    "Accept-Encoding: gzip, deflate\r\nAccept-Language: en-GB,en;q=0.8\r\nX-Tenant: acme\r\n"
    "Authorization: Bearer abcdefghijklmnopqrstuvwxyz0123456789\r\n"
    "X-Request-Id: 7d1e4a52-5a0f-4e9e-9f3c-000000000000\r\n\r\n";

void ParseOurs(benchmark::State& state) {
  RequestHead head;
  const CodecLimits limits;
  for (auto _ : state) {
    head.Clear();
    http::h1::RequestFraming framing;
    if (http::h1::FindHeadEnd(kHead, 0) != sizeof kHead - 1 ||
        http::h1::ParseRequestHead({kHead, sizeof kHead - 1}, limits, &head, &framing)) {
      state.SkipWithError("a good request was refused");
      break;
    }
  }
}
BENCHMARK(ParseOurs);

// What a user of http-parser has to do with its callbacks.
struct Collector {
  RequestHead head;
  std::string name;
  std::string value;
  void Flush() {
    if (!name.empty()) head.headers.Add(name, value);
    name.clear();
    value.clear();
  }
};

void ParseHttpParser(benchmark::State& state) {
  http_parser_settings settings;
  http_parser_settings_init(&settings);
  settings.on_url = [](http_parser* parser, const char* at, size_t n) {
    RequestHead& head = static_cast<Collector*>(parser->data)->head;
    head.path = head.headers.Store({at, n});
    return 0;
  };
  settings.on_header_field = [](http_parser* parser, const char* at, size_t n) {
    auto& collector = *static_cast<Collector*>(parser->data);
    if (!collector.value.empty()) collector.Flush();
    for (size_t i = 0; i < n; ++i) {
      collector.name.push_back(static_cast<char>(http::kTokenLower[static_cast<uint8_t>(at[i])]));
    }
    return 0;
  };
  settings.on_header_value = [](http_parser* parser, const char* at, size_t n) {
    static_cast<Collector*>(parser->data)->value.append(at, n);
    return 0;
  };
  settings.on_headers_complete = [](http_parser* parser) {
    static_cast<Collector*>(parser->data)->Flush();
    return 0;
  };
  Collector collector;
  for (auto _ : state) {
    collector.head.Clear();
    http_parser parser;
    http_parser_init(&parser, HTTP_REQUEST);
    parser.data = &collector;
    http_parser_execute(&parser, &settings, kHead, sizeof kHead - 1);
    if (collector.head.headers.size() != 8) state.SkipWithError("fields were lost");
  }
}
BENCHMARK(ParseHttpParser);

// Beast's parser into its own container of fields.
void ParseBeast(benchmark::State& state) {
  namespace beast = boost::beast;
  for (auto _ : state) {
    beast::http::request_parser<beast::http::empty_body> parser;
    beast::error_code error;
    parser.put(boost::asio::buffer(kHead, sizeof kHead - 1), error);
    if (error) state.SkipWithError("a good request was refused");
  }
}
BENCHMARK(ParseBeast);

}  // namespace
}  // namespace countersign::bench

BENCHMARK_MAIN();
