#include "tests/bench/load/tcp_load.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/bench/load/bulk_header.h"
#include "tests/bench/load/loopback.h"
#include "tests/bench/load/poller.h"

namespace countersign::bench {

namespace {

constexpr size_t kBlockBytes = 256 * 1024;
constexpr int kCallsPerEvent = 4;
constexpr uint64_t kGrace = 5'000'000'000;
constexpr uint64_t kBulkGrace = 10'000'000'000;
constexpr uint64_t kTooManyErrors = 5'000;

struct Connection : Watched {
  uint64_t started = 0;
  uint64_t left = 0;    // bulk: of the block
  size_t received = 0;  // echo: of the message
  bool connecting = false;
};

Connection* ConnectionOf(const epoll_event& event) {
  return static_cast<Connection*>(static_cast<Watched*>(event.data.ptr));
}

[[noreturn]] void Fail(const char* sentence) {
  fprintf(stderr, "%s\n", sentence);
  exit(1);
}

std::vector<Connection> ConnectAll(const sockaddr_in& address, size_t count) {
  std::vector<Connection> connections(count);
  for (Connection& connection : connections) {
    connection.fd = Connect(address);
    if (connection.fd < 0) Die("connect");
  }
  return connections;
}

uint64_t After(uint64_t start, double seconds) {
  return start + static_cast<uint64_t>(seconds * 1e9);
}

double SecondsSince(uint64_t start) { return static_cast<double>(Now() - start) / 1e9; }

// Bulk transfer of one run, all connections.
class Bulk {
 public:
  explicit Bulk(const BulkOptions& options)
      : options_(options),
        upload_(options.direction == 'U'),
        connections_(ConnectAll(options.address, options.connections)),
        block_(kBlockBytes, '\0') {}

  void Run(Report* report) {
    const uint64_t start = Now();
    const uint64_t end = After(start, options_.seconds);
    size_t live = connections_.size();
    for (Connection& connection : connections_) StartBlock(&connection);
    while (live > 0 && Now() < end + kBulkGrace) {
      for (const epoll_event& event : poller_.Wait(end + kBulkGrace)) {
        Connection* connection = ConnectionOf(event);
        if (!(upload_ ? Upload(connection, event.events) : Download(connection))) continue;
        ++blocks_;
        if (Now() < end) {
          StartBlock(connection);
        } else {
          poller_.Forget(connection);
          close(connection->fd);
          --live;
        }
      }
    }
    const double seconds = SecondsSince(start);
    report->Count("bytes", bytes_);
    report->Figure("secs", seconds);
    report->Figure("MBps", static_cast<double>(bytes_) / seconds / 1e6);
    report->Count("blocks", blocks_);
    report->Count("unfinished", live);
  }

 private:
  void StartBlock(Connection* connection) {
    connection->left = options_.block_mib << 20;
    const BulkHeader header = MakeBulkHeader(options_.direction, connection->left);
    if (Send(connection->fd, header.data(), header.size()) != static_cast<ssize_t>(header.size())) {
      Die("send");
    }
    poller_.Arm(connection, upload_ ? EPOLLIN | EPOLLOUT : EPOLLIN);
  }

  // True when the block is acknowledged.
  bool Upload(Connection* connection, uint32_t events) {
    if ((events & EPOLLOUT) != 0) {
      for (int i = 0; i < kCallsPerEvent && connection->left > 0; ++i) {
        const ssize_t n =
            Send(connection->fd, block_.data(), std::min<uint64_t>(connection->left, kBlockBytes));
        if (n < 0 && errno == EAGAIN) break;
        if (n < 0) Die("send");
        connection->left -= static_cast<uint64_t>(n);
        bytes_ += static_cast<uint64_t>(n);
      }
      if (connection->left == 0) poller_.Arm(connection, EPOLLIN);
    }
    if ((events & (EPOLLIN | EPOLLHUP)) == 0) return false;
    char acknowledgement;
    const ssize_t n = recv(connection->fd, &acknowledgement, 1, 0);
    if (n == 1) return true;
    if (n == 0 || errno != EAGAIN) Fail("a bulk connection was closed in mid-transfer");
    return false;
  }

  // True when the block is complete.
  bool Download(Connection* connection) {
    for (int i = 0; i < kCallsPerEvent && connection->left > 0; ++i) {
      const ssize_t n = recv(connection->fd, block_.data(), kBlockBytes, 0);
      if (n == 0) Fail("a bulk connection was closed in mid-transfer");
      if (n < 0 && errno == EAGAIN) return false;
      if (n < 0) Die("recv");
      connection->left -= static_cast<uint64_t>(n);
      bytes_ += static_cast<uint64_t>(n);
    }
    return connection->left == 0;
  }

  const BulkOptions options_;
  const bool upload_;
  Poller poller_;
  std::vector<Connection> connections_;
  std::string block_;
  uint64_t bytes_ = 0;
  uint64_t blocks_ = 0;
};

// New connections of one run.
class Connector {
 public:
  explicit Connector(const ConnectOptions& options)
      : options_(options), connections_(options.concurrent) {}

  void Run(Report* report) {
    for (Connection& connection : connections_) Start(&connection);
    const uint64_t start = Now();
    const uint64_t end = After(start, options_.seconds);
    size_t live = connections_.size();
    while (live > 0 && Now() < end + kGrace) {
      for (const epoll_event& event : poller_.Wait(Now() < end ? end : end + kGrace)) {
        Connection* connection = ConnectionOf(event);
        if (!(connection->connecting ? OnConnected(connection) : OnEcho(connection))) continue;
        close(connection->fd);
        if (errors_ > kTooManyErrors) Fail("most new connections failed");
        if (Now() < end) {
          Start(connection);
        } else {
          --live;
        }
      }
    }
    const double seconds = SecondsSince(start);
    report->Count("conns", done_);
    report->Figure("secs", seconds);
    report->Figure("cps", static_cast<double>(done_) / seconds);
    report->Count("errors", errors_);
    report->Figure("p50_us", latencies_.Percentile(.5));
    report->Figure("p99_us", latencies_.Percentile(.99));
    report->Count("unfinished", live);
  }

 private:
  void Start(Connection* connection) {
    while ((connection->fd = StartConnect(options_.address)) < 0) {
      if (++errors_ > kTooManyErrors) Die("connect");
      usleep(1000);
    }
    connection->interest = 0;
    connection->connecting = true;
    connection->started = Now();
    poller_.Arm(connection, EPOLLOUT);
  }

  // The following return true when this connection is over.
  bool OnConnected(Connection* connection) {
    int error = 0;
    socklen_t size = sizeof error;
    getsockopt(connection->fd, SOL_SOCKET, SO_ERROR, &error, &size);
    if (error != 0 || Send(connection->fd, "E", 1) != 1) {
      ++errors_;
      return true;
    }
    connection->connecting = false;
    poller_.Arm(connection, EPOLLIN);
    return false;
  }

  bool OnEcho(Connection* connection) {
    char echoed;
    const ssize_t n = recv(connection->fd, &echoed, 1, 0);
    if (n < 0 && errno == EAGAIN) return false;
    if (n == 1) {
      ++done_;
      latencies_.Add(Now() - connection->started);
    } else {
      ++errors_;
    }
    return true;
  }

  const ConnectOptions options_;
  Poller poller_;
  std::vector<Connection> connections_;
  uint64_t done_ = 0;
  uint64_t errors_ = 0;
  Latencies latencies_;
};

}  // namespace

void RunBulk(const BulkOptions& options, Report* report) { Bulk(options).Run(report); }

void RunConnect(const ConnectOptions& options, Report* report) { Connector(options).Run(report); }

void RunEcho(const EchoOptions& options, Report* report) {
  const std::string message(options.size, 'E');
  std::string received(options.size, '\0');
  Poller poller;
  Latencies latencies;
  std::vector<Connection> connections = ConnectAll(options.address, options.connections);
  const auto send = [&message](Connection* connection) {
    connection->started = Now();
    if (Send(connection->fd, message.data(), message.size()) !=
        static_cast<ssize_t>(message.size())) {
      Die("send");
    }
  };
  const uint64_t start = Now();
  const uint64_t end = After(start, options.seconds);
  for (Connection& connection : connections) {
    poller.Arm(&connection, EPOLLIN);
    send(&connection);
  }
  uint64_t rounds = 0;
  size_t live = connections.size();
  while (live > 0 && Now() < end + kGrace) {
    for (const epoll_event& event : poller.Wait(end + kGrace)) {
      Connection* connection = ConnectionOf(event);
      const ssize_t n =
          recv(connection->fd, received.data(), options.size - connection->received, 0);
      if (n < 0 && errno == EAGAIN) continue;
      if (n <= 0) Fail("an echo connection was closed");
      connection->received += static_cast<size_t>(n);
      if (connection->received < options.size) continue;
      connection->received = 0;
      const uint64_t now = Now();
      latencies.Add(now - connection->started);
      ++rounds;
      if (now < end) {
        send(connection);
      } else {
        --live;
      }
    }
  }
  const double seconds = SecondsSince(start);
  report->Count("rounds", rounds);
  report->Figure("secs", seconds);
  report->Figure("rps", static_cast<double>(rounds) / seconds);
  report->Figure("p50_us", latencies.Percentile(.5));
  report->Figure("p99_us", latencies.Percentile(.99));
  report->Figure("p999_us", latencies.Percentile(.999));
}

void RunIdle(const sockaddr_in& address, size_t count) {
  const timeval patience{.tv_sec = 5, .tv_usec = 0};
  size_t ready = 0;
  for (; ready < count; ++ready) {
    const int fd = Connect(address);
    if (fd < 0) {
      fprintf(stderr, "idle connection %zu: %s\n", ready, strerror(errno));
      break;
    }
    fcntl(fd, F_SETFL, 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    char byte = 'E';
    if (Send(fd, &byte, 1) != 1 || recv(fd, &byte, 1, 0) != 1) {
      fprintf(stderr, "idle connection %zu does not echo\n", ready);
      break;
    }
  }
  Report report;
  report.Count("ready", ready);
  report.Print();
  char ignored;
  while (read(STDIN_FILENO, &ignored, 1) > 0) {
  }
}

}  // namespace countersign::bench
