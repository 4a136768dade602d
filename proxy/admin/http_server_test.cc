#include "proxy/admin/http_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::admin {
namespace {

using ::testing::HasSubstr;

class HttpServerTest : public ::testing::Test {
 protected:
  void Serve(HttpServerOptions options) {
    server_ = std::make_unique<HttpServer>(
        dispatcher_, options, [this](const Request& request, HttpServer::Done done) {
          if (request.path == "/later") {
            later_ = std::move(done);
          } else if (request.path == "/large") {
            done(Response::Text(200, std::string(4 << 20, 'x')));
          } else {
            done(Response::Text(200, absl::StrCat("path ", request.path, "\n")));
          }
        });
    ASSERT_TRUE(server_->Listen(*net::Address::Parse("127.0.0.1:0")).ok());
  }

  int Connect() {
    const int fd = socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(server_->port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    EXPECT_EQ(connect(fd, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    fcntl(fd, F_SETFL, O_NONBLOCK);
    return fd;
  }

  // Runs the loop until the server has closed `fd`, and returns what it sent.
  std::string ReadAll(int fd) {
    std::string all;
    char buffer[65536];
    for (int i = 0; i < 20'000; ++i) {
      dispatcher_.RunTurn(false);
      const ssize_t n = recv(fd, buffer, sizeof buffer, 0);
      if (n == 0 || (n < 0 && errno != EAGAIN)) {
        break;
      }
      if (n > 0) {
        all.append(buffer, n);
      } else {
        usleep(500);
      }
    }
    close(fd);
    return all;
  }

  std::string Ask(const std::string& bytes) {
    const int fd = Connect();
    EXPECT_EQ(send(fd, bytes.data(), bytes.size(), 0), static_cast<ssize_t>(bytes.size()));
    return ReadAll(fd);
  }

  static std::string Get(const std::string& path, const std::string& host = "localhost") {
    return absl::StrCat("GET ", path, " HTTP/1.1\r\nHost: ", host, "\r\n\r\n");
  }

  event::Dispatcher dispatcher_;
  HttpServer::Done later_;
  std::unique_ptr<HttpServer> server_;
};

TEST_F(HttpServerTest, AnswersAndCloses) {
  Serve({});
  const std::string answer = Ask(Get("/x"));
  EXPECT_THAT(answer, HasSubstr("200 OK"));
  EXPECT_THAT(answer, HasSubstr("path /x\n"));
}

TEST_F(HttpServerTest, ARequestMayComeByteByByte) {
  Serve({});
  const int fd = Connect();
  for (const char c : Get("/slow")) {
    EXPECT_EQ(send(fd, &c, 1, 0), 1);
    dispatcher_.RunTurn(false);
  }
  EXPECT_THAT(ReadAll(fd), HasSubstr("path /slow"));
}

TEST_F(HttpServerTest, LargeAnswersArriveWhole) {
  Serve({});
  EXPECT_GT(Ask(Get("/large")).size(), 4u << 20);
}

TEST_F(HttpServerTest, AnAnswerMayComeLaterOrAfterTheConnectionIsGone) {
  Serve({});
  int fd = Connect();
  const std::string request = Get("/later");
  send(fd, request.data(), request.size(), 0);
  while (!later_) {
    dispatcher_.RunTurn(false);
  }
  std::exchange(later_, nullptr)(Response::Text(200, "at last\n"));
  EXPECT_THAT(ReadAll(fd), HasSubstr("at last"));

  fd = Connect();
  send(fd, request.data(), request.size(), 0);
  while (!later_) {
    dispatcher_.RunTurn(false);
  }
  server_.reset();
  later_(Response::Text(200, "to nobody\n"));
  close(fd);
}

TEST_F(HttpServerTest, AdminRefusesForeignHostsAndAddresses) {
  Serve({.loopback_only = true});
  EXPECT_THAT(Ask(Get("/x", "127.0.0.1:15000")), HasSubstr("200 OK"));
  EXPECT_THAT(Ask(Get("/x", "[::1]:15000")), HasSubstr("200 OK"));
  EXPECT_THAT(Ask(Get("/x", "rebound.example.com")), HasSubstr("403 Forbidden"));
  EXPECT_THAT(Ask(Get("/x", "localhost.evil.com")), HasSubstr("403 Forbidden"));
  EXPECT_THAT(Ask(Get("/x", "10.0.0.1")), HasSubstr("403 Forbidden"));
  EXPECT_THAT(Ask("POST /logging?level=off HTTP/1.1\r\nHost: localhost\r\n"
                  "Origin: https://evil.example\r\n\r\n"),
              HasSubstr("403 Forbidden"));
  EXPECT_THAT(Ask("GET /x HTTP/1.1\r\nHost: localhost\r\nSec-Fetch-Site: cross-site\r\n\r\n"),
              HasSubstr("403 Forbidden"));
  EXPECT_THAT(std::string(server_->Listen(*net::Address::Parse("0.0.0.0:0")).message()),
              HasSubstr("loopback alone"));
}

TEST_F(HttpServerTest, APortInUseIsExplained) {
  Serve({});
  const std::string taken = absl::StrCat("127.0.0.1:", server_->port());
  EXPECT_THAT(std::string(server_->Listen(*net::Address::Parse(taken)).message()),
              HasSubstr(absl::StrCat("cannot listen on ", taken, ": Address already in use")));
}

TEST_F(HttpServerTest, SilentClientsAreCutOff) {
  Serve({.request_timeout = std::chrono::milliseconds(50)});
  const int fd = Connect();
  send(fd, "GET ", 4, 0);
  EXPECT_EQ(ReadAll(fd), "");
}

TEST_F(HttpServerTest, FloodsAreBounded) {
  Serve({.max_connections = 4});
  std::vector<int> open;
  for (int i = 0; i < 12; ++i) {
    open.push_back(Connect());
    dispatcher_.RunTurn(false);
  }
  size_t refused = 0;
  for (const int fd : open) {
    char byte = 0;
    refused += recv(fd, &byte, 1, 0) == 0 ? 1 : 0;
  }
  EXPECT_EQ(refused, 8u);
  for (const int fd : open) {
    close(fd);
  }
  for (int i = 0; i < 20; ++i) {
    dispatcher_.RunTurn(false);
  }
  EXPECT_THAT(Ask(Get("/again")), HasSubstr("200 OK"));
}

TEST_F(HttpServerTest, GarbageIsAnsweredOrCutOffAndNothingElseSuffers) {
  Serve({.loopback_only = true, .request_timeout = std::chrono::milliseconds(20)});
  std::mt19937 random(11);
  for (int i = 0; i < 200; ++i) {
    std::string bytes(random() % 3000, '\0');
    for (char& c : bytes) {
      c = static_cast<char>(random());
    }
    const std::string answer = Ask((i % 2 == 0 ? "GET / HTTP/1.1\r\n" : "") + bytes + "\r\n\r\n");
    EXPECT_TRUE(answer.empty() || absl::StartsWith(answer, "HTTP/1.1 4")) << answer;
  }
  EXPECT_THAT(Ask(Get("/still")), HasSubstr("path /still"));
}

}  // namespace
}  // namespace countersign::admin
