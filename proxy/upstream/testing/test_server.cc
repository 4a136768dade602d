#include "proxy/upstream/testing/test_server.h"

#include <utility>

#include "proxy/http/h1/h1_server_codec.h"
#include "proxy/http/h2/h2_server_codec.h"

namespace countersign::upstream::testing {

using buffer::Buffer;
using http::testing::Exchange;

TestServer::TestServer(event::Dispatcher& dispatcher, Options options)
    : dispatcher_(dispatcher), options_(std::move(options)) {
  socket_ = *net::Socket::Listen(net::Address(net::IpAddress::V4({127, 0, 0, 1}), 0));
  address_ = *socket_.LocalAddress();
  event_ = std::make_unique<event::FileEvent>(dispatcher_, socket_.fd(),
                                              static_cast<event::FileEvent::Handler&>(*this),
                                              event::FileEvent::Mode::kLevelRead);
}

TestServer::~TestServer() = default;

size_t TestServer::open() const {
  size_t count = 0;
  for (const auto& connection : connections_) count += connection->open();
  return count;
}

size_t TestServer::requests() const {
  size_t count = 0;
  for (const auto& connection : connections_) count += connection->requests().size();
  return count;
}

void TestServer::OnFileEvent(uint32_t) {
  for (;;) {
    int error = 0;
    net::Address peer;
    net::Socket socket = socket_.Accept(&peer, &error);
    if (!socket.valid()) return;
    connections_.push_back(std::make_unique<Connection>(*this, std::move(socket)));
  }
}

void TestServer::OnRequest(Exchange& exchange) {
  last_path_ = exchange.path;
  if (!hold) Respond(exchange);
}

void TestServer::Respond(Exchange& exchange) {
  if (exchange.stream == nullptr) return;
  http::ResponseHead head;
  head.status = status;
  for (const auto& [name, value] : headers) head.headers.Add(name, value);
  http::HeaderMap fields;
  for (const auto& [name, value] : trailers) fields.Add(name, value);
  if (trailers.empty()) head.headers.Add("content-length", std::to_string(body.size()));
  exchange.stream->SendHeaders(head, false);
  Buffer data;
  data.Append(body);
  exchange.stream->SendData(data, trailers.empty());
  if (!trailers.empty()) exchange.stream->SendTrailers(fields);
}

TestServer::Connection::Connection(TestServer& server, net::Socket socket)
    : server_(server),
      connection_(
          server.dispatcher_, std::move(socket),
          server.options_.tls == nullptr
              ? std::unique_ptr<net::TransportSocket>(std::make_unique<net::RawTransportSocket>())
              : std::make_unique<tls::TlsTransportSocket>(server.options_.tls(), nullptr),
          net::Connection::State::kConnected),
      frame_(this, [](void* self) { static_cast<Connection*>(self)->Frame(); }) {
  if (server.options_.protocol == http::Protocol::kHttp2) {
    codec_ = std::make_unique<http::h2::H2ServerCodec>(
        static_cast<http::ServerCodec::Owner&>(*this), server.options_.limits);
  } else {
    codec_ = std::make_unique<http::h1::H1ServerCodec>(
        static_cast<http::ServerCodec::Owner&>(*this), server.options_.limits);
  }
  recorder_.on_request = [this](Exchange& exchange) { server_.OnRequest(exchange); };
  connection_.SetHandler(this);
  if (!server.options_.mute) OnCodecOutput();
}

TestServer::Connection::~Connection() { closed_ = true; }

void TestServer::Connection::OnData(buffer::ByteStream&, Buffer& data, bool end) {
  if (server_.options_.mute) return data.Clear();
  codec_->Receive(data, end, server_.dispatcher_.now());
  if (closed_) return;
  if (end) {
    Buffer none;
    connection_.Write(none, true);
  }
  OnCodecOutput();
}

void TestServer::Connection::OnClosed(buffer::ByteStream&, buffer::CloseReason) {
  if (closed_) return;
  closed_ = true;
  codec_->OnConnectionClosed();
}

void TestServer::Connection::OnCodecOutput() {
  if (!closed_) server_.dispatcher_.FrameAtTurnEnd(frame_);
}

void TestServer::Connection::Frame() {
  if (closed_) return;
  Buffer out;
  const bool alive = codec_->Produce(out, 384 * 1024);
  if (!out.empty() || !alive) connection_.Write(out, !alive);
}

void TestServer::Connection::Answer() {
  for (const auto& exchange : recorder_.requests) {
    if (exchange->stream == nullptr) continue;
    return server_.Respond(*exchange);
  }
}

void TestServer::Connection::Write(absl::string_view raw) {
  Buffer out;
  out.Append(raw);
  connection_.Write(out, false);
}

void TestServer::Connection::Reset() {
  connection_.Reset();
  closed_ = true;
  codec_->OnConnectionClosed();
}

void TestServer::Connection::Drain() {
  codec_->StartDrain();
  OnCodecOutput();
}

}  // namespace countersign::upstream::testing
