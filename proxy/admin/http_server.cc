#include "proxy/admin/http_server.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "absl/strings/str_cat.h"

namespace countersign::admin {
namespace {

constexpr int kBacklog = 64;
constexpr std::chrono::milliseconds kRest{50};

bool IsLoopbackName(const std::string& host) {
  if (host == "localhost") {
    return true;
  }
  absl::string_view ip = host;
  if (ip.size() > 2 && ip.front() == '[' && ip.back() == ']') {
    ip = ip.substr(1, ip.size() - 2);
  }
  absl::StatusOr<net::IpAddress> parsed = net::IpAddress::Parse(ip);
  return parsed.ok() && parsed->IsLoopback();
}

}  // namespace

class HttpServer::Listener final : public event::FileEvent::Handler {
 public:
  Listener(HttpServer& server, int fd)
      : server_(server),
        fd_(fd),
        resume_(server.dispatcher_.timers(), this,
                [](void* self) { static_cast<Listener*>(self)->event_->Enable(true); }),
        event_(std::make_unique<event::FileEvent>(server.dispatcher_, fd, *this,
                                                  event::FileEvent::Mode::kLevelRead)) {}
  ~Listener() {
    event_.reset();
    close(fd_);
  }

  void OnFileEvent(uint32_t) override {
    const int fd = accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd >= 0) {
      server_.OnAccepted(fd);
      return;
    }
    if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
      // It stays readable: without a rest the loop would spin.
      event_->Enable(false);
      resume_.Arm(kRest);
    }
  }

 private:
  HttpServer& server_;
  const int fd_;
  event::Timer resume_;
  std::unique_ptr<event::FileEvent> event_;
};

class HttpServer::Connection final : public event::FileEvent::Handler, public event::Deferred {
 public:
  Connection(HttpServer& server, uint64_t id, int fd)
      : server_(server),
        id_(id),
        fd_(fd),
        deadline_(server.dispatcher_.timers(), this,
                  [](void* self) {
                    auto* connection = static_cast<Connection*>(self);
                    connection->server_.Close(connection->id_);
                  }),
        event_(std::make_unique<event::FileEvent>(server.dispatcher_, fd, *this)) {
    deadline_.Arm(server.options_.request_timeout);
  }

  ~Connection() override {
    event_.reset();
    close(fd_);
  }

  void OnFileEvent(uint32_t events) override {
    if (state_ == State::kReading && (events & (event::kReadable | event::kPeerClosed)) != 0) {
      Read();
    } else if (state_ == State::kWriting) {
      Write();
    } else if (state_ == State::kLingering) {
      Linger();
    }
  }

  void Answer(const Response& response) {
    if (state_ != State::kHandling) {
      return;
    }
    output_ = SerializeResponse(response, head_);
    state_ = State::kWriting;
    deadline_.Arm(server_.options_.response_timeout);
    Write();
  }

 private:
  enum class State : uint8_t { kReading, kHandling, kWriting, kLingering, kClosed };

  void Read() {
    char buffer[2048];
    for (;;) {
      const ssize_t n = recv(fd_, buffer, sizeof buffer, 0);
      if (n < 0 && errno == EINTR) {
        continue;
      }
      if (n < 0 && errno == EAGAIN) {
        return;
      }
      if (n <= 0) {
        CloseSoon();
        return;
      }
      input_.append(buffer, n);
      Request request;
      Response error;
      const ParseResult result = ParseRequest(input_, &request, &error);
      if (result == ParseResult::kIncomplete) {
        continue;
      }
      input_.clear();
      state_ = State::kHandling;
      if (result == ParseResult::kError) {
        Answer(error);
      } else {
        head_ = request.method == "HEAD";
        server_.OnRequest(id_, request);
      }
      return;
    }
  }

  void Write() {
    while (written_ < output_.size()) {
      const ssize_t n =
          send(fd_, output_.data() + written_, output_.size() - written_, MSG_NOSIGNAL);
      if (n < 0 && errno == EINTR) {
        continue;
      }
      if (n < 0 && errno == EAGAIN) {
        return;
      }
      if (n <= 0) {
        CloseSoon();
        return;
      }
      written_ += n;
    }
    // A close with unread input would become an RST that can overtake the answer (RFC 9112, section
    // 9.6): say that we are done, and read the rest away for a while.
    shutdown(fd_, SHUT_WR);
    output_ = std::string();
    state_ = State::kLingering;
    Linger();
  }

  void Linger() {
    char buffer[4096];
    for (;;) {
      const ssize_t n = recv(fd_, buffer, sizeof buffer, 0);
      if (n < 0 && errno == EINTR) {
        continue;
      }
      if (n < 0 && errno == EAGAIN) {
        return;
      }
      drained_ += n > 0 ? n : 0;
      if (n <= 0 || drained_ > 64 * 1024) {
        CloseSoon();
        return;
      }
    }
  }

  void CloseSoon() {
    state_ = State::kClosed;
    server_.Close(id_);
  }

  HttpServer& server_;
  const uint64_t id_;
  const int fd_;
  State state_ = State::kReading;
  bool head_ = false;
  std::string input_;
  std::string output_;
  size_t written_ = 0;
  size_t drained_ = 0;
  event::Timer deadline_;
  std::unique_ptr<event::FileEvent> event_;
};

HttpServer::HttpServer(event::Dispatcher& dispatcher, HttpServerOptions options, Handler handler)
    : dispatcher_(dispatcher),
      options_(options),
      handler_(std::move(handler)),
      self_(std::make_shared<HttpServer*>(this)) {}

HttpServer::~HttpServer() { *self_ = nullptr; }

absl::Status HttpServer::Listen(const net::Address& address) {
  if (options_.loopback_only && !address.ip().IsLoopback()) {
    return absl::InvalidArgumentError(
        absl::StrCat("the admin pages show what only this machine may see, so they listen on "
                     "loopback alone, not on ",
                     address.ToString(), "; use 127.0.0.1 or [::1]"));
  }
  const int fd = socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) {
    return absl::UnavailableError(
        absl::StrCat("cannot make a socket for ", address.ToString(), ": ", strerror(errno)));
  }
  const int on = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  if (address.family() == AF_INET6) {
    setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  }
  sockaddr_storage storage;
  socklen_t length = address.ToSockaddr(&storage);
  if (bind(fd, reinterpret_cast<sockaddr*>(&storage), length) != 0 || listen(fd, kBacklog) != 0) {
    const int error = errno;
    close(fd);
    return absl::UnavailableError(absl::StrCat(
        "cannot listen on ", address.ToString(), ": ", strerror(error),
        error == EADDRINUSE ? "; another program has this port, or another countersign-proxy runs "
                              "here: stop it or choose another port"
                            : ""));
  }
  length = sizeof storage;
  getsockname(fd, reinterpret_cast<sockaddr*>(&storage), &length);
  absl::StatusOr<net::Address> bound =
      net::Address::FromSockaddr(reinterpret_cast<sockaddr*>(&storage), length);
  port_ = bound.ok() ? bound->port() : address.port();
  listeners_.push_back(std::make_unique<Listener>(*this, fd));
  return absl::OkStatus();
}

void HttpServer::OnAccepted(int fd) {
  if (connections_.size() >= options_.max_connections) {
    close(fd);
    return;
  }
  const uint64_t id = next_id_++;
  connections_.emplace(id, std::make_unique<Connection>(*this, id, fd));
}

void HttpServer::OnRequest(uint64_t connection, const Request& request) {
  Done done = [self = self_, connection](Response response) {
    if (*self == nullptr) {
      return;
    }
    auto it = (*self)->connections_.find(connection);
    if (it != (*self)->connections_.end()) {
      it->second->Answer(response);
    }
  };
  if (options_.loopback_only && !IsLoopbackName(request.host)) {
    done(Response::Text(403, "The Host header must be localhost or a loopback address.\n"));
    return;
  }
  if (options_.loopback_only && request.cross_site) {
    done(Response::Text(403, "Other sites' pages may not ask here.\n"));
    return;
  }
  handler_(request, std::move(done));
}

void HttpServer::Close(uint64_t connection) {
  auto it = connections_.find(connection);
  if (it == connections_.end()) {
    return;
  }
  std::unique_ptr<Connection> dying = std::move(it->second);
  connections_.erase(it);
  dispatcher_.DeferredDelete(std::move(dying));
}

}  // namespace countersign::admin
