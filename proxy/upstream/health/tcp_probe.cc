#include "proxy/upstream/health/tcp_probe.h"

#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"
#include "api/net/alpn.h"

namespace countersign::upstream {

using buffer::ByteStream;
using buffer::CloseReason;
using config::EndpointTransport;

TcpProbe::TcpProbe(PoolShared& shared, Owner& owner, const config::Endpoint& endpoint,
                   std::chrono::milliseconds timeout)
    : shared_(shared), owner_(&owner), endpoint_(endpoint), timeout_(timeout) {}

TcpProbe::~TcpProbe() { Cancel(); }

void TcpProbe::Cancel() {
  owner_ = nullptr;
  HbonePool::Request::Cancel();
  if (stream_ != nullptr) stream_->Reset();
}

void TcpProbe::Connect() {
  if (endpoint_.transport != EndpointTransport::kPlaintext && shared_.context == nullptr) {
    return Done(false, "this proxy has no certificate yet");
  }
  if (endpoint_.transport == EndpointTransport::kHbone) {
    return shared_.tunnels.NewStream(endpoint_.tunnel, endpoint_.identity, endpoint_.address,
                                     timeout_, *this);
  }
  int error = 0;
  net::Socket socket = net::Socket::Connect(endpoint_.address, &error);
  if (!socket.valid()) return Done(false, std::strerror(error));
  std::unique_ptr<net::TransportSocket> transport = std::make_unique<net::RawTransportSocket>();
  if (endpoint_.transport == EndpointTransport::kTls) {
    tls::TlsOptions options;
    options.context = shared_.context;
    options.alpn = net::kMeshAlpn;
    options.expected_id = endpoint_.identity;
    options.verifier = &shared_.verifier;
    options.clock = &shared_.dispatcher.clock();
    auto tls = std::make_unique<tls::TlsTransportSocket>(std::move(options), nullptr);
    tls_ = tls.get();
    transport = std::move(tls);
  }
  stream_ =
      std::make_unique<net::Connection>(shared_.dispatcher, std::move(socket), std::move(transport),
                                        net::Connection::State::kConnecting);
  stream_->SetHandler(this);
}

void TcpProbe::OnStreamReady(std::unique_ptr<http::h2::TunnelStream> stream, TunnelConnection&) {
  stream_ = std::move(stream);
  stream_->SetHandler(this);
}

void TcpProbe::OnStreamFailed(CloseReason, const std::string& explanation) {
  Done(false, explanation);
}

void TcpProbe::OnOpen(ByteStream&) { Done(true, ""); }

void TcpProbe::OnData(ByteStream&, buffer::Buffer& data, bool) {
  data.Clear();
  Done(true, "");
}

void TcpProbe::OnClosed(ByteStream&, CloseReason reason) {
  const bool explained =
      tls_ != nullptr && (reason == CloseReason::kTlsHandshake || reason == CloseReason::kTlsAlert);
  Done(false, explained ? tls_->Explain() : buffer::CloseReasonSentence(reason));
}

void TcpProbe::Done(bool connected, const std::string& explanation) {
  if (owner_ != nullptr) std::exchange(owner_, nullptr)->OnProbed(connected, explanation);
}

}  // namespace countersign::upstream
