// HTTP under pressure: slow peers, limits, memory, rotation, revocation, drain.
#include <fstream>
#include <string>
#include <thread>

#include "gtest/gtest.h"
#include "proxy/server/worker_http_fixture.h"

namespace countersign::server {
namespace {

using std::chrono::milliseconds;

const std::string kGet = "GET / HTTP/1.1\r\nHost: server\r\n\r\n";

config::HttpOptions Short() {
  config::HttpOptions http;
  http.request_headers_timeout = milliseconds(300);
  http.stream_idle_timeout = milliseconds(300);
  http.delayed_close_timeout = milliseconds(100);
  return http;
}

TEST(WorkerHttpLimitsTest, AHeadThatDoesNotEndIsAnswered408) {
  Application application(HttpServer(Mirror));
  HttpPair pair(application.address());
  pair.ConfigureHttp(MtlsMode::kStrict, Short());
  const int fd = pair.Connect();
  HttpReader reader(fd);
  ASSERT_TRUE(WriteAll(fd, "GET / HTTP/1.1\r\nHost: a\r\nX-Slow: "));
  const HttpMessage response = reader.Read();
  EXPECT_EQ(response.status(), 408);
  EXPECT_TRUE(response.complete);
  EXPECT_EQ(reader.ReadSome(), "");
  close(fd);
  EXPECT_TRUE(
      Eventually([&] { return pair.ClientStats(); }, "reason=\"request_headers_timeout\"} 1"));
}

TEST(WorkerHttpLimitsTest, ABodyThatDoesNotComeTimesOut) {
  Application application(HttpServer(Mirror));
  HttpPair pair(application.address());
  pair.ConfigureHttp(MtlsMode::kStrict, Short());
  const int fd = pair.Connect();
  HttpReader reader(fd);
  ASSERT_TRUE(WriteAll(fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\nx"));
  const HttpMessage response = reader.Read();
  EXPECT_EQ(response.status(), 408) << response.body;
  EXPECT_EQ(response.Header("x-countersign-flags"), "SI");
  close(fd);
}

TEST(WorkerHttpLimitsTest, AClientThatDoesNotReadTimesOut) {
  std::atomic<bool> gone{false};
  Application application([&](int fd) {
    HttpReader reader(fd);
    reader.Read();
    gone = !WriteAll(fd, Response(std::string(64 << 20, 'x')));
    close(fd);
  });
  HttpPair pair(application.address());
  pair.ConfigureHttp(MtlsMode::kStrict, Short());
  const int fd = pair.Connect();
  ASSERT_TRUE(WriteAll(fd, kGet));
  EXPECT_TRUE(Eventually([&] { return std::string(gone ? "gone" : ""); }, "gone"));
  close(fd);
}

TEST(WorkerHttpLimitsTest, AnIdleConnectionIsClosedInOrder) {
  Application application(HttpServer(Mirror));
  HttpPair pair(application.address());
  config::HttpOptions http;
  http.idle_timeout = milliseconds(200);
  pair.ConfigureHttp(MtlsMode::kStrict, http);
  const int fd = pair.Connect();
  HttpReader reader(fd);
  ASSERT_TRUE(WriteAll(fd, kGet));
  EXPECT_EQ(reader.Read().status(), 200);
  EXPECT_EQ(reader.ReadSome(), "");
  EXPECT_FALSE(reader.failed());
  close(fd);
}

TEST(WorkerHttpLimitsTest, WhereHttpIsDeclaredWhoSaysNothingIsIdle) {
  Application application(HttpServer(Mirror));
  HttpPair pair(application.address(), config::AppProtocol::kHttp1, MtlsMode::kPermissive);
  config::HttpOptions http;
  http.idle_timeout = milliseconds(300);
  pair.ConfigureHttp(MtlsMode::kPermissive, http);
  const int out = pair.Connect();
  const int in = pair.ConnectCaptured();
  EXPECT_EQ(ReadAll(out), "");
  EXPECT_EQ(ReadAll(in), "");
  close(out);
  close(in);
  // Who has begun gets the time that a head has.
  const int slow = pair.ConnectCaptured();
  HttpReader reader(slow);
  std::this_thread::sleep_for(milliseconds(200));
  ASSERT_TRUE(WriteAll(slow, "G"));
  std::this_thread::sleep_for(milliseconds(200));
  ASSERT_TRUE(WriteAll(slow, "ET / HTTP/1.1\r\nHost: a\r\n\r\n"));
  EXPECT_EQ(reader.Read().status(), 200);
  close(slow);
}

TEST(WorkerHttpLimitsTest, WhoSaysNothingMakesRoomAtTheLimit) {
  Application application(HttpServer(Mirror));
  HttpPair pair(application.address(), config::AppProtocol::kHttp1, MtlsMode::kPermissive,
                [](WorkerOptions& options) { options.max_connections = 2; });
  const int one = pair.ConnectCaptured();
  const int two = pair.ConnectCaptured();
  std::this_thread::sleep_for(milliseconds(100));
  const int refused = pair.ConnectCaptured();
  EXPECT_EQ(ReadAll(refused), "<" + std::to_string(ECONNRESET) + ">");
  EXPECT_EQ(ReadAll(one), "");
  EXPECT_EQ(ReadAll(two), "");
  const int served = pair.ConnectCaptured();
  HttpReader reader(served);
  ASSERT_TRUE(WriteAll(served, kGet));
  EXPECT_EQ(reader.Read().status(), 200);
  for (const int fd : {one, two, refused, served}) close(fd);
}

TEST(WorkerHttpLimitsTest, AnOldConnectionSaysSoAndEnds) {
  Application application(HttpServer([](const HttpMessage&) { return Response("x"); }));
  HttpPair pair(application.address());
  config::HttpOptions http;
  http.max_connection_age = milliseconds(200);
  pair.ConfigureHttp(MtlsMode::kStrict, http);
  const int fd = pair.Connect();
  HttpReader reader(fd);
  for (int i = 0;; ++i) {
    ASSERT_LT(i, 100);
    ASSERT_TRUE(WriteAll(fd, kGet));
    const HttpMessage response = reader.Read();
    ASSERT_EQ(response.status(), 200);
    if (response.Header("connection") == "close") break;
    std::this_thread::sleep_for(milliseconds(10));
  }
  EXPECT_EQ(reader.ReadSome(), "");
  EXPECT_FALSE(reader.failed());
  close(fd);
}

TEST(WorkerHttpLimitsTest, RequestsBeyondTheLimitAreShed) {
  std::atomic<bool> go{false};
  Application application(HttpServer([&](const HttpMessage&) {
    while (!go) std::this_thread::sleep_for(milliseconds(5));
    return Response("late");
  }));
  HttpPair pair(application.address(), config::AppProtocol::kHttp1, MtlsMode::kStrict,
                [](WorkerOptions& options) { options.max_requests = 1; });
  const int first = pair.Connect();
  const int second = pair.Connect();
  HttpReader first_reader(first);
  HttpReader second_reader(second);
  ASSERT_TRUE(WriteAll(first, kGet));
  ASSERT_TRUE(Eventually([&] { return pair.ClientStats(); },
                         "countersign_http_requests_active{direction=\"outbound\"} 1"));
  ASSERT_TRUE(WriteAll(second, kGet));
  const HttpMessage shed = second_reader.Read();
  EXPECT_EQ(shed.status(), 503);
  EXPECT_EQ(shed.Header("x-countersign-flags"), "OM");
  go = true;
  EXPECT_EQ(first_reader.Read().body, "late");
  ASSERT_TRUE(WriteAll(second, kGet));
  EXPECT_EQ(second_reader.Read().body, "late");
  close(first);
  close(second);
  EXPECT_NE(pair.ClientStats().find("countersign_overload_total{limit=\"requests\"} 1"),
            std::string::npos);
}

TEST(WorkerHttpLimitsTest, IdleConnectionsMakeRoomAtTheLimit) {
  Application application(HttpServer(Mirror));
  HttpPair pair(application.address(), config::AppProtocol::kHttp1, MtlsMode::kStrict,
                [](WorkerOptions& options) { options.max_connections = 2; });
  pair.ConfigureHttp(MtlsMode::kStrict, Short());
  const int idle = pair.Connect();
  HttpReader idle_reader(idle);
  ASSERT_TRUE(WriteAll(idle, kGet));
  EXPECT_EQ(idle_reader.Read().status(), 200);
  const int waiting = pair.Connect();
  HttpReader waiting_reader(waiting);
  ASSERT_TRUE(WriteAll(waiting, kGet));
  EXPECT_EQ(waiting_reader.Read().status(), 200);
  const int refused = pair.Connect();
  EXPECT_EQ(ReadAll(refused), "<" + std::to_string(ECONNRESET) + ">");
  close(refused);
  EXPECT_EQ(idle_reader.ReadSome(), "");
  close(idle);
  close(waiting);
}

TEST(WorkerHttpLimitsTest, TooManyAndTooLargeHeadersAre431) {
  Application application(HttpServer(Mirror));
  HttpPair pair(application.address(), config::AppProtocol::kHttp1);
  std::string many = "GET / HTTP/1.1\r\nHost: a\r\n";
  for (int i = 0; i < 10'000; ++i) many += "x: y\r\n";
  const std::string large = "GET / HTTP/1.1\r\nHost: a\r\nX: " + std::string(100'000, 'x') + "\r\n";
  for (const std::string& head : {many + "\r\n", large + "\r\n"}) {
    const int fd = pair.Connect();
    WriteAll(fd, head);
    HttpReader reader(fd);
    EXPECT_EQ(reader.Read().status(), 431);
    close(fd);
  }
}

size_t ResidentKib() {
  std::ifstream status("/proc/self/status");
  std::string word;
  while (status >> word) {
    if (word == "VmRSS:") {
      size_t kib = 0;
      status >> kib;
      return kib;
    }
  }
  return 0;
}

// Both sidecars live in this process, so their buffers for one stream show in its size; the
// kernel's do not. The bodies themselves are never whole anywhere.
TEST(WorkerHttpLimitsTest, ABodyOf256MibWaitsAtItsSender) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  constexpr size_t kAllowedKib = 64 * 1024;  // freed memory stays in quarantine
#else
  constexpr size_t kAllowedKib = 2 * 1024 + 512;  // 1 MiB a stream in each, and what malloc keeps
#endif
  constexpr size_t kBody = size_t{256} << 20;
  const std::string piece(1 << 20, 'x');
  std::atomic<size_t> sent{0};
  Application application([&](int fd) {
    HttpReader reader(fd);
    reader.Read();
    WriteAll(fd, "HTTP/1.1 200 OK\r\ncontent-length: " + std::to_string(kBody) + "\r\n\r\n");
    while (sent < kBody && WriteAll(fd, piece)) sent += piece.size();
    close(fd);
  });
  HttpPair pair(application.address());
  const int fd = pair.Connect();
  const int small = 64 * 1024;
  setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
  ASSERT_TRUE(WriteAll(fd, kGet));
  std::string part(1 << 16, '\0');
  size_t got = static_cast<size_t>(read(fd, part.data(), part.size()));
  const size_t before = ResidentKib();
  size_t most = before;
  // Now slow, now not at all.
  for (int i = 0; i < 20; ++i) {
    std::this_thread::sleep_for(milliseconds(20));
    const ssize_t n = read(fd, part.data(), part.size());
    ASSERT_GT(n, 0);
    got += static_cast<size_t>(n);
    most = std::max(most, ResidentKib());
  }
  EXPECT_LT(sent, kBody);
  for (;;) {
    const ssize_t n = read(fd, part.data(), part.size());
    if (n <= 0 || (got += static_cast<size_t>(n)) >= kBody) break;
    if (got % (size_t{16} << 20) < part.size()) most = std::max(most, ResidentKib());
  }
  EXPECT_GE(got, kBody);
  EXPECT_LT(most - before, kAllowedKib);
  close(fd);
}

TEST(WorkerHttpLimitsTest, AnUploadOf256MibWaitsForItsReader) {
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
  constexpr size_t kAllowedKib = 64 * 1024;
#else
  constexpr size_t kAllowedKib = 2 * 1024 + 512;
#endif
  constexpr size_t kBody = size_t{256} << 20;
  std::atomic<bool> go{false};
  std::atomic<size_t> got{0};
  Application application([&](int fd) {
    const int small = 64 * 1024;
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    HttpReader reader(fd);
    std::string head;
    while (head.find("\r\n\r\n") == std::string::npos) head += reader.ReadBytes(1);
    std::string all = reader.ReadSome();
    got = all.size();
    while (!go) std::this_thread::sleep_for(milliseconds(5));
    std::string part(1 << 16, '\0');
    while (got < kBody) {
      const ssize_t n = read(fd, part.data(), part.size());
      if (n <= 0) break;
      got += static_cast<size_t>(n);
    }
    WriteAll(fd, Response("thanks"));
    close(fd);
  });
  HttpPair pair(application.address());
  const int fd = pair.Connect();
  const std::string piece(1 << 20, 'x');
  const size_t before = ResidentKib();
  ASSERT_TRUE(WriteAll(
      fd, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + std::to_string(kBody) + "\r\n\r\n"));
  size_t most = before;
  std::thread opener([&] {
    for (int i = 0; i < 40; ++i) {
      std::this_thread::sleep_for(milliseconds(10));
      most = std::max(most, ResidentKib());
    }
    go = true;
  });
  for (size_t sent = 0; sent < kBody; sent += piece.size()) ASSERT_TRUE(WriteAll(fd, piece));
  opener.join();
  HttpReader reader(fd);
  EXPECT_EQ(reader.Read().body, "thanks");
  EXPECT_EQ(got, kBody);
  EXPECT_LT(most - before, kAllowedKib);
  close(fd);
}

// Requests on `connections` kept connections until `stop`; connections that the proxy closes in
// order are opened again.
class Load {
 public:
  Load(Pair& pair, int connections) {
    for (int i = 0; i < connections; ++i) {
      threads_.emplace_back([this, &pair] {
        while (!stop_) {
          const int fd = pair.Connect();
          HttpReader reader(fd);
          while (!stop_) {
            if (!WriteAll(fd, kGet)) break;
            const HttpMessage response = reader.Read();
            if (response.status() == 200 && response.complete) {
              ++good_;
            } else {
              ++bad_;
              std::lock_guard lock(mutex_);
              last_ = response.start_line + "\n" + response.headers + response.body;
            }
            if (!response.complete || response.Header("connection") == "close") break;
          }
          close(fd);
        }
      });
    }
  }
  ~Load() { Stop(); }
  void Stop() {
    stop_ = true;
    for (std::thread& thread : threads_) thread.join();
    threads_.clear();
  }
  int good() const { return good_; }
  int bad() const { return bad_; }
  std::string last() {
    std::lock_guard lock(mutex_);
    return last_;
  }

 private:
  std::atomic<bool> stop_{false};
  std::atomic<int> good_{0};
  std::atomic<int> bad_{0};
  std::mutex mutex_;
  std::string last_;
  std::vector<std::thread> threads_;
};

TEST(WorkerHttpLimitsTest, CertificatesRotateUnderLoadWithoutALoss) {
  Application application(HttpServer([](const HttpMessage&) { return Response("x"); }));
  HttpPair pair(application.address());
  Load load(pair, 4);
  for (uint64_t generation = 2; generation < 8; ++generation) {
    std::this_thread::sleep_for(milliseconds(100));
    pair.client().OnSecret(SecretOf(pair.authority(), kClientId, generation));
    pair.server().OnSecret(SecretOf(pair.authority(), kServerId, generation));
  }
  std::this_thread::sleep_for(milliseconds(100));
  load.Stop();
  EXPECT_EQ(load.bad(), 0) << load.last();
  EXPECT_GT(load.good(), 50);
}

TEST(WorkerHttpLimitsTest, DrainUnderLoadLosesNothing) {
  Application application(HttpServer([](const HttpMessage&) { return Response("x"); }));
  HttpPair pair(application.address());
  Load load(pair, 4);
  std::this_thread::sleep_for(milliseconds(200));
  std::atomic<bool> drained{false};
  pair.server().StartDrain([&] { drained = true; });
  // Stragglers are still served: there is no other place to go to.
  std::this_thread::sleep_for(milliseconds(500));
  load.Stop();
  EXPECT_EQ(load.bad(), 0) << load.last();
  EXPECT_GT(load.good(), 50);
  EXPECT_TRUE(Eventually([&] { return std::string(drained ? "drained" : ""); }, "drained"));
}

TEST(WorkerHttpLimitsTest, ARevokedCallerLosesItsConnectionAndIsRefused) {
  Application application(HttpServer([](const HttpMessage&) { return Response("x"); }));
  HttpPair pair(application.address());
  const int fd = pair.Connect();
  HttpReader reader(fd);
  ASSERT_TRUE(WriteAll(fd, kGet));
  EXPECT_EQ(reader.Read().status(), 200);
  auto deny = std::make_shared<spiffe::DenyList>(2);
  deny->AddId(*spiffe::SpiffeId::Parse(kClientId));
  pair.server().OnSecret(SecretOf(pair.authority(), kServerId, 2, deny));
  EXPECT_TRUE(Eventually([&] { return pair.ServerStats(); },
                         "countersign_inbound_refused_total{reason=\"denied\""));
  ASSERT_TRUE(WriteAll(fd, kGet));
  const HttpMessage refused = reader.Read();
  EXPECT_EQ(refused.status(), 503);
  EXPECT_NE(refused.Header("x-countersign-flags").find("UF"), std::string::npos)
      << refused.headers << refused.body;
  close(fd);
}

}  // namespace
}  // namespace countersign::server
