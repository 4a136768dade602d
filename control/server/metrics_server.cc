#include "control/server/metrics_server.h"

#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <optional>
#include <sstream>
#include <thread>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"

namespace countersign::control::server {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = boost::beast::http;
using Tcp = asio::ip::tcp;
using Error = boost::system::error_code;

constexpr int kMaxConnections = 64;
constexpr uint32_t kMaxHeaderBytes = 8 * 1024;
constexpr std::chrono::seconds kRequestTimeout{5};

absl::StatusOr<Tcp::endpoint> ParseListen(const std::string& listen) {
  const size_t colon = listen.rfind(':');
  int port = 0;
  if (colon == std::string::npos || !absl::SimpleAtoi(listen.substr(colon + 1), &port) ||
      port < 0 || port > 65535) {
    return absl::InvalidArgumentError(
        absl::StrCat("\"", listen, "\" is not ADDRESS:PORT, as in 127.0.0.1:15014 or [::]:15014"));
  }
  std::string host = listen.substr(0, colon);
  if (host.size() >= 2 && host.front() == '[' && host.back() == ']') {
    host = host.substr(1, host.size() - 2);
  }
  Error error;
  const asio::ip::address address = asio::ip::make_address(host, error);
  if (error) {
    return absl::InvalidArgumentError(absl::StrCat("\"", host, "\" is not an IP address"));
  }
  return Tcp::endpoint(address, static_cast<uint16_t>(port));
}

}  // namespace

class MetricsServer::Listener {
 public:
  explicit Listener(Options options) : options_(std::move(options)), acceptor_(context_) {}
  ~Listener() {
    context_.stop();
    if (thread_.joinable()) thread_.join();
  }

  absl::Status Start() {
    absl::StatusOr<Tcp::endpoint> endpoint = ParseListen(options_.listen);
    if (!endpoint.ok()) return endpoint.status();
    Error error;
    acceptor_.open(endpoint->protocol(), error);
    if (!error) acceptor_.set_option(asio::socket_base::reuse_address(true), error);
    if (!error) acceptor_.bind(*endpoint, error);
    if (!error) acceptor_.listen(kMaxConnections, error);
    if (error) {
      return absl::UnavailableError(
          absl::StrCat("cannot listen on ", options_.listen, ": ", error.message()));
    }
    Accept();
    thread_ = std::thread([this] { context_.run(); });
    return absl::OkStatus();
  }

  int port() const {
    Error error;
    return acceptor_.local_endpoint(error).port();
  }
  const Options& options() const { return options_; }
  void ConnectionClosed() {
    if (connections_-- == kMaxConnections) Accept();
  }

 private:
  void Accept();

  const Options options_;
  asio::io_context context_{1};
  Tcp::acceptor acceptor_;
  int connections_ = 0;
  std::thread thread_;
};

// One connection; owns itself through its pending operation.
class MetricsServer::Session : public std::enable_shared_from_this<Session> {
 public:
  Session(Tcp::socket socket, Listener& listener)
      : stream_(std::move(socket)), listener_(listener) {}
  ~Session() { listener_.ConnectionClosed(); }

  void Read() {
    parser_.emplace();
    parser_->header_limit(kMaxHeaderBytes);
    parser_->body_limit(0);
    stream_.expires_after(kRequestTimeout);
    http::async_read(
        stream_, buffer_, *parser_,
        [self = shared_from_this()](const Error& error, size_t) { self->OnRead(error); });
  }

 private:
  void OnRead(const Error& error) {
    if (error == http::error::header_limit) {
      return Reply(http::status::request_header_fields_too_large, "the headers are too large\n",
                   /*keep_alive=*/false);
    }
    if (error == http::error::body_limit) {
      return Reply(http::status::payload_too_large, "no request here has a body\n",
                   /*keep_alive=*/false);
    }
    if (error == http::error::end_of_stream || error == beast::error::timeout) return Close();
    if (error) {
      return Reply(http::status::bad_request, "this is no HTTP/1.1 request\n",
                   /*keep_alive=*/false);
    }
    const auto& request = parser_->get();
    if (request.method() != http::verb::get && request.method() != http::verb::head) {
      return Reply(http::status::method_not_allowed, "only GET and HEAD are allowed here\n",
                   /*keep_alive=*/false);
    }
    const boost::string_view target = request.target();
    const bool keep_alive = request.keep_alive();
    if (target == "/metrics") {
      if (listener_.options().refresh) listener_.options().refresh();
      const prometheus::TextSerializer serializer;
      std::ostringstream text;
      serializer.Serialize(text, listener_.options().registry.Collect());
      Reply(http::status::ok, text.str(), keep_alive);
    } else if (target == "/healthz") {
      Reply(http::status::ok, "alive\n", keep_alive);
    } else if (target == "/ready") {
      const std::string reason = listener_.options().why_not_ready();
      if (reason.empty()) {
        Reply(http::status::ok, "ready\n", keep_alive);
      } else {
        Reply(http::status::service_unavailable, reason + "\n", keep_alive);
      }
    } else {
      Reply(http::status::not_found, "there are /metrics, /ready and /healthz here\n", keep_alive);
    }
  }

  void Reply(http::status status, std::string body, bool keep_alive) {
    response_ = {};
    response_.result(status);
    response_.set(http::field::content_type, "text/plain; version=0.0.4; charset=utf-8");
    response_.keep_alive(keep_alive);
    const bool head = parser_->get().method() == http::verb::head;
    response_.body() = std::move(body);
    response_.prepare_payload();
    if (head) response_.body().clear();
    stream_.expires_after(kRequestTimeout);
    http::async_write(stream_, response_,
                      [self = shared_from_this(), keep_alive](const Error& error, size_t) {
                        if (error || !keep_alive) return self->Close();
                        self->response_ = {};
                        self->Read();
                      });
  }

  void Close() {
    Error ignored;
    stream_.socket().shutdown(Tcp::socket::shutdown_both, ignored);
    stream_.close();
  }

  beast::tcp_stream stream_;
  Listener& listener_;
  beast::flat_buffer buffer_{kMaxHeaderBytes + 1024};
  std::optional<http::request_parser<http::empty_body>> parser_;
  http::response<http::string_body> response_;
};

void MetricsServer::Listener::Accept() {
  acceptor_.async_accept([this](const Error& error, Tcp::socket socket) {
    if (error == asio::error::operation_aborted) return;
    if (!error) {
      ++connections_;
      std::make_shared<Session>(std::move(socket), *this)->Read();
    }
    // At the limit the next one waits in the kernel's queue until a connection ends.
    if (connections_ < kMaxConnections) Accept();
  });
}

absl::StatusOr<std::unique_ptr<MetricsServer>> MetricsServer::Start(Options options) {
  auto listener = std::make_unique<Listener>(std::move(options));
  const absl::Status status = listener->Start();
  if (!status.ok()) return status;
  return std::unique_ptr<MetricsServer>(new MetricsServer(std::move(listener)));
}

MetricsServer::MetricsServer(std::unique_ptr<Listener> listener) : listener_(std::move(listener)) {}
MetricsServer::~MetricsServer() = default;

int MetricsServer::port() const { return listener_->port(); }

}  // namespace countersign::control::server
