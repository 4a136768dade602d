// For tests of HTTP through two sidecars: destinations with routes, an HTTP/1.1 application of a
// few lines, and a client that reads responses one by one.
#ifndef COUNTERSIGN_PROXY_SERVER_WORKER_HTTP_FIXTURE_H_
#define COUNTERSIGN_PROXY_SERVER_WORKER_HTTP_FIXTURE_H_

#include <algorithm>
#include <cctype>
#include <cstdlib>
#include <functional>
#include <memory>
#include <string>
#include <utility>

#include "proxy/server/worker_fixture.h"

namespace countersign::server {

// `destination` as a place where HTTP may be spoken: everything goes to its one cluster.
inline std::shared_ptr<const Destination> WithRoutes(
    const std::shared_ptr<const Destination>& destination,
    config::AppProtocol protocol = config::AppProtocol::kAuto) {
  auto cluster = std::make_shared<config::Cluster>(*destination->cluster);
  cluster->protocol = protocol;
  config::Route route;
  route.name = "all";
  route.match.path.text = "";
  route.forward.clusters.push_back({.cluster = cluster->name});
  route.forward.total_weight = 1;
  config::VirtualHost host;
  host.name = "all";
  host.domains = {"*"};
  host.routes.push_back(std::move(route));
  auto routes = std::make_shared<config::RouteConfiguration>();
  routes->name = "all";
  routes->virtual_hosts.push_back(std::move(host));
  auto with = std::make_shared<Destination>(*destination);
  with->cluster = cluster;
  with->routes = std::move(routes);
  with->route_clusters = {cluster};
  return with;
}

// One message off a socket.
struct HttpMessage {
  std::string start_line;
  std::string headers;  // with their line ends, names in lower case
  std::string body;
  std::string trailers;
  bool complete = false;

  std::string Header(const std::string& name) const {
    const size_t at = ("\n" + headers).find("\n" + name + ": ");
    if (at == std::string::npos) return "";
    const size_t begin = at + name.size() + 2;
    return headers.substr(begin, headers.find("\r\n", begin) - begin);
  }
  bool Has(const std::string& name) const {
    return ("\n" + headers).find("\n" + name + ":") != std::string::npos;
  }
  int status() const { return start_line.size() < 12 ? 0 : std::atoi(start_line.c_str() + 9); }
};

// Reads messages one after the other; what comes after one is kept for the next.
class HttpReader {
 public:
  explicit HttpReader(int fd) : fd_(fd) {}

  // `head_only`: the response to HEAD.
  HttpMessage Read(bool head_only = false) {
    HttpMessage message;
    while (buffer_.find("\r\n\r\n") == std::string::npos) {
      if (!More()) return message;
    }
    const size_t end = buffer_.find("\r\n\r\n");
    const size_t line = buffer_.find("\r\n");
    message.start_line = buffer_.substr(0, line);
    if (line < end) message.headers = buffer_.substr(line + 2, end - line);
    bool name = true;
    for (char& c : message.headers) {
      if (c == ':') name = false;
      if (c == '\n') name = true;
      if (name) c = static_cast<char>(std::tolower(c));
    }
    buffer_.erase(0, end + 4);
    const int status = message.status();
    if (head_only || status == 204 || status == 304 || (status >= 100 && status < 200)) {
      message.complete = true;
    } else if (message.Header("transfer-encoding") == "chunked") {
      message.complete = ReadChunks(&message);
    } else if (message.Has("content-length")) {
      const size_t n = std::strtoull(message.Header("content-length").c_str(), nullptr, 10);
      while (buffer_.size() < n && More()) {
      }
      message.complete = buffer_.size() >= n;
      message.body = buffer_.substr(0, n);
      buffer_.erase(0, n);
    } else if (message.start_line.compare(0, 5, "HTTP/") == 0) {
      while (More()) {
      }
      message.complete = !failed_;
      message.body = std::exchange(buffer_, "");
    } else {
      message.complete = true;
    }
    return message;
  }
  // At most what is there, at least a byte; empty at the end.
  std::string ReadSome() {
    if (buffer_.empty()) More();
    return std::exchange(buffer_, "");
  }
  // Exactly `n` bytes, or fewer at the end.
  std::string ReadBytes(size_t n) {
    while (buffer_.size() < n && More()) {
    }
    const std::string bytes = buffer_.substr(0, n);
    buffer_.erase(0, n);
    return bytes;
  }
  bool failed() const { return failed_; }

 private:
  bool More() {
    char part[65536];
    const ssize_t n = read(fd_, part, sizeof part);
    if (n < 0) failed_ = true;
    if (n <= 0) return false;
    buffer_.append(part, static_cast<size_t>(n));
    return true;
  }
  bool ReadChunks(HttpMessage* message) {
    for (;;) {
      while (buffer_.find("\r\n") == std::string::npos) {
        if (!More()) return false;
      }
      const size_t n = std::strtoull(buffer_.c_str(), nullptr, 16);
      buffer_.erase(0, buffer_.find("\r\n") + 2);
      if (n == 0) break;
      while (buffer_.size() < n + 2) {
        if (!More()) return false;
      }
      message->body += buffer_.substr(0, n);
      buffer_.erase(0, n + 2);
    }
    for (;;) {
      while (buffer_.find("\r\n") == std::string::npos) {
        if (!More()) return false;
      }
      const size_t end = buffer_.find("\r\n");
      if (end == 0) break;
      message->trailers += buffer_.substr(0, end + 2);
      buffer_.erase(0, end + 2);
    }
    buffer_.erase(0, 2);
    return true;
  }

  const int fd_;
  std::string buffer_;
  bool failed_ = false;
};

// Serves requests one after the other on a connection, as `answer` says; an empty answer ends it.
inline std::function<void(int)> HttpServer(std::function<std::string(const HttpMessage&)> answer) {
  return [answer = std::move(answer)](int fd) {
    HttpReader reader(fd);
    for (;;) {
      const HttpMessage request = reader.Read();
      if (!request.complete || request.start_line.empty()) break;
      const std::string response = answer(request);
      if (response.empty() || !WriteAll(fd, response)) break;
    }
    close(fd);
  };
}

inline std::string Response(const std::string& body, const std::string& more = "") {
  return "HTTP/1.1 200 OK\r\ncontent-length: " + std::to_string(body.size()) + "\r\n" + more +
         "\r\n" + body;
}

// Answers with what it was asked: start line, header fields, body.
inline std::string Mirror(const HttpMessage& request) {
  return Response(request.start_line + "\n" + request.headers + "\n" + request.body);
}

// A pair whose client's sidecar reaches the application by the mesh's HTTP.
class HttpPair : public Pair {
 public:
  explicit HttpPair(const net::Address& application,
                    config::AppProtocol protocol = config::AppProtocol::kAuto,
                    MtlsMode mode = MtlsMode::kStrict,
                    const std::function<void(WorkerOptions&)>& tweak = nullptr)
      : Pair(application, tweak), application_(application), protocol_(protocol) {
    ConfigureHttp(mode);
    Identify();
  }
  // `http`: of both ends.
  void ConfigureHttp(MtlsMode mode, const config::HttpOptions& http = {}) {
    discovery().Set(application_, DestinationWith(http));
    client().OnProxyConfig(ConfigOf(mode));
    auto inbound = std::make_shared<config::ProxyConfig>(*ConfigOf(mode));
    inbound->inbound.fallback.protocol = protocol_;
    inbound->http = http;
    server().OnProxyConfig(inbound);
  }
  // The application as the client's sidecar sees it.
  std::shared_ptr<const Destination> DestinationWith(const config::HttpOptions& http) const {
    auto destination =
        std::make_shared<Destination>(*WithRoutes(Hbone(captured(), net::Address()), protocol_));
    destination->http = http;
    return destination;
  }

 private:
  const net::Address application_;
  const config::AppProtocol protocol_;
};

}  // namespace countersign::server

#endif  // COUNTERSIGN_PROXY_SERVER_WORKER_HTTP_FIXTURE_H_
