// What the pieces of the byte path cost, each alone: telling what a client's first bytes are, and
// an HBONE session pair without TLS and sockets.
#include <benchmark/benchmark.h>
#include <openssl/ssl.h>

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/spiffe/openssl_ptr.h"
#include "proxy/buffer/buffer.h"
#include "proxy/buffer/byte_stream.h"
#include "proxy/http/h2/tunnel_session.h"
#include "proxy/listener/client_hello.h"

namespace countersign::bench {
namespace {

using buffer::Buffer;
using buffer::ByteStream;
using http::h2::TunnelSession;
using http::h2::TunnelStream;

std::string ClientHello() {
  const spiffe::SslCtxPtr context(SSL_CTX_new(TLS_client_method()));
  const spiffe::SslPtr ssl(SSL_new(context.get()));
  static constexpr unsigned char kAlpn[] =
      "\x0b"
      "countersign";
  SSL_set_alpn_protos(ssl.get(), kAlpn, sizeof kAlpn - 1);
  BIO* out = BIO_new(BIO_s_mem());
  SSL_set_bio(ssl.get(), BIO_new(BIO_s_mem()), out);
  SSL_connect(ssl.get());
  char* bytes = nullptr;
  const long size = BIO_get_mem_data(out, &bytes);
  return {bytes, static_cast<size_t>(size)};
}

void SniffClientHello(benchmark::State& state) {
  const std::string hello = ClientHello();
  for (auto _ : state) {
    if (listener::SniffClientHello(hello, "countersign") != listener::Sniffed::kMeshTls) {
      state.SkipWithError("a mesh client was not recognised");
      break;
    }
  }
}
BENCHMARK(SniffClientHello);

// One end: takes every tunnel, and counts or echoes what comes.
class End final : public TunnelSession::Owner, public ByteStream::Handler {
 public:
  explicit End(TunnelSession::Role role, bool echo = false)
      : session(role, *this, {}), echo_(echo) {}
  ~End() { session.CloseStreams(buffer::CloseReason::kTunnelLost); }

  ByteStream& Open() {
    std::unique_ptr<TunnelStream> stream = session.Open("10.0.0.1:80");
    stream->SetHandler(this);
    streams_.push_back(std::move(stream));
    return *streams_.back();
  }
  void Forget() { streams_.clear(); }

  void OnSessionOutput() override {}
  void OnSessionDraining() override {}
  void OnStreamGone() override {}
  void OnTunnelRequest(std::unique_ptr<TunnelStream> stream, absl::string_view) override {
    stream->SetHandler(this);
    stream->Accept();
    streams_.push_back(std::move(stream));
  }
  void OnData(ByteStream& stream, Buffer& data, bool end) override {
    received += data.size();
    if (echo_) stream.Write(data, end);
    data.Clear();
  }
  void OnWritable(ByteStream&) override {}
  void OnClosed(ByteStream&, buffer::CloseReason) override { ++closed; }

  TunnelSession session;
  size_t received = 0;
  size_t closed = 0;

 private:
  const bool echo_;
  std::vector<std::unique_ptr<TunnelStream>> streams_;
};

// Carries output across until both are silent.
void Exchange(End& a, End& b) {
  const auto now = std::chrono::steady_clock::now();
  for (bool moved = true; moved;) {
    moved = false;
    for (const auto& [from, to] : {std::pair<End*, End*>(&a, &b), {&b, &a}}) {
      Buffer wire;
      from->session.Produce(wire, 256 * 1024);
      if (wire.empty()) continue;
      moved = true;
      to->session.Receive(wire, now);
    }
  }
}

void TunnelBulk(benchmark::State& state) {
  End client(TunnelSession::Role::kClient);
  End server(TunnelSession::Role::kServer);
  ByteStream& stream = client.Open();
  const std::string chunk(64 * 1024, 'x');
  Exchange(client, server);
  for (auto _ : state) {
    Buffer data;
    data.Append(chunk);  // one copy, as reading from a socket makes it
    stream.Write(data, false);
    Exchange(client, server);
  }
  if (server.received != chunk.size() * static_cast<size_t>(state.iterations())) {
    state.SkipWithError("bytes were lost");
  }
  state.SetBytesProcessed(static_cast<int64_t>(server.received));
}
BENCHMARK(TunnelBulk);

void TunnelEcho128(benchmark::State& state) {
  End client(TunnelSession::Role::kClient);
  End server(TunnelSession::Role::kServer, /*echo=*/true);
  ByteStream& stream = client.Open();
  const std::string message(128, 'x');
  Exchange(client, server);
  for (auto _ : state) {
    Buffer data;
    data.Append(message);
    stream.Write(data, false);
    Exchange(client, server);
  }
  if (client.received != message.size() * static_cast<size_t>(state.iterations())) {
    state.SkipWithError("bytes were lost");
  }
}
BENCHMARK(TunnelEcho128);

void TunnelOpenEchoClose(benchmark::State& state) {
  End client(TunnelSession::Role::kClient);
  End server(TunnelSession::Role::kServer, /*echo=*/true);
  Exchange(client, server);
  for (auto _ : state) {
    ByteStream& stream = client.Open();
    Buffer data;
    data.Append("E");
    stream.Write(data, true);
    Exchange(client, server);
    client.Forget();
    server.Forget();
  }
  if (client.closed != static_cast<size_t>(state.iterations())) {
    state.SkipWithError("tunnels did not end in order");
  }
}
BENCHMARK(TunnelOpenEchoClose);

}  // namespace
}  // namespace countersign::bench

BENCHMARK_MAIN();
