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
    if (options_.tunnel) {
      TunnelConnection::Options options;
      options.role = http::h2::TunnelSession::Role::kServer;
      options.peer = peer;
      options.local = address_;
      tunnels_.push_back(std::make_unique<TunnelConnection>(
          dispatcher_, static_cast<TunnelConnection::Owner&>(*this), options, std::move(socket),
          options_.tls()));
      continue;
    }
    std::unique_ptr<net::TransportSocket> transport;
    if (options_.tls == nullptr) {
      transport = std::make_unique<net::RawTransportSocket>();
    } else {
      transport = std::make_unique<tls::TlsTransportSocket>(options_.tls(), nullptr);
    }
    connections_.push_back(std::make_unique<Connection>(
        *this,
        std::make_unique<net::Connection>(dispatcher_, std::move(socket), std::move(transport),
                                          net::Connection::State::kConnected)));
  }
}

void TestServer::OnTunnelRequest(TunnelConnection&, std::unique_ptr<http::h2::TunnelStream> stream,
                                 absl::string_view authority) {
  last_authority = std::string(authority);
  if (refuse_tunnels != 0) return stream->Refuse(refuse_tunnels, "nobody listens there");
  stream->Accept();
  connections_.push_back(std::make_unique<Connection>(*this, std::move(stream)));
}

void TestServer::OnTunnelClosed(TunnelConnection& tunnel, buffer::CloseReason, const std::string&) {
  for (auto it = tunnels_.begin(); it != tunnels_.end(); ++it) {
    if (it->get() != &tunnel) continue;
    dispatcher_.DeferredDelete(std::move(*it));
    tunnels_.erase(it);
    return;
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

TestServer::Connection::Connection(TestServer& server, std::unique_ptr<buffer::ByteStream> stream)
    : server_(server),
      stream_(std::move(stream)),
      frame_(this, [](void* self) { static_cast<Connection*>(self)->Frame(); }) {
  if (server.options_.protocol == http::Protocol::kHttp2) {
    codec_ = std::make_unique<http::h2::H2ServerCodec>(
        static_cast<http::ServerCodec::Owner&>(*this), server.options_.limits);
  } else {
    codec_ = std::make_unique<http::h1::H1ServerCodec>(
        static_cast<http::ServerCodec::Owner&>(*this), server.options_.limits);
  }
  recorder_.on_request = [this](Exchange& exchange) { server_.OnRequest(exchange); };
  stream_->SetHandler(this);
  if (!server.options_.mute) OnCodecOutput();
}

TestServer::Connection::~Connection() { closed_ = true; }

void TestServer::Connection::OnData(buffer::ByteStream&, Buffer& data, bool end) {
  if (server_.options_.mute) return data.Clear();
  codec_->Receive(data, end, server_.dispatcher_.now());
  if (closed_) return;
  if (end && codec_->ending() != http::Ending::kFinish) {
    Buffer none;
    stream_->Write(none, true);
  }
  OnCodecOutput();
}

void TestServer::Connection::OnClosed(buffer::ByteStream&, buffer::CloseReason reason) {
  if (closed_) return;
  closed_ = true;
  close_reason_ = reason;
  codec_->OnConnectionClosed();
}

void TestServer::Connection::OnCodecOutput() {
  if (!closed_) server_.dispatcher_.FrameAtTurnEnd(frame_);
}

void TestServer::Connection::Frame() {
  if (closed_) return;
  Buffer out;
  const bool alive = codec_->Produce(out, 384 * 1024);
  if (!alive && codec_->ending() == http::Ending::kReset) return Reset();
  if (!out.empty() || !alive) stream_->Write(out, !alive);
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
  stream_->Write(out, false);
}

void TestServer::Connection::Reset() {
  stream_->Reset();
  closed_ = true;
  codec_->OnConnectionClosed();
}

void TestServer::Connection::Drain() {
  codec_->StartDrain();
  OnCodecOutput();
}

}  // namespace countersign::upstream::testing
