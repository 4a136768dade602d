#include "tests/bench/load/http_load.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstdlib>

#include "tests/bench/load/loopback.h"

namespace countersign::bench {

namespace {

constexpr size_t kResponseBytes = 16 * 1024;
constexpr uint64_t kGrace = 5'000'000'000;  // for answers that are late
constexpr uint64_t kLastWaits = 100'000'000;
constexpr uint64_t kTooManyErrors = 10'000;

std::string RequestFor(const std::string& path) {
  return "GET " + path +
         " HTTP/1.1\r\nHost: bench.default.svc.cluster.local\r\nUser-Agent: bench/1\r\n"
         "Accept: */*\r\n\r\n";
}

// The bytes of the response whose head ends at `head_bytes`; exits when it has no length.
size_t ResponseBytes(const char* response, size_t head_bytes) {
  const char* field = strcasestr(response, "\r\ncontent-length:");
  if (field == nullptr || field > response + head_bytes) {
    fprintf(stderr, "a response without content-length: %.300s\n", response);
    exit(1);
  }
  return head_bytes + strtoull(field + 17, nullptr, 10);
}

}  // namespace

struct HttpLoad::Connection : Watched {
  uint64_t intended = 0;
  bool busy = false;
  size_t length = 0;  // of the response so far
  size_t wanted = 0;  // of the response in all; 0: not known yet
  std::array<char, kResponseBytes> response;
};

HttpLoad::HttpLoad(const Options& options)
    : options_(options), request_(RequestFor(options.path)), connections_(options.connections) {
  for (Connection& connection : connections_) {
    connection.fd = Connect(options_.address);
    if (connection.fd < 0) Die("connect");
    poller_.Arm(&connection, EPOLLIN);
    idle_.push_back(&connection);
  }
}

HttpLoad::~HttpLoad() = default;

uint64_t HttpLoad::NextDue() const {
  return start_ + static_cast<uint64_t>(static_cast<double>(issued_) * 1e9 / options_.rate);
}

void HttpLoad::SendOn(Connection* connection, uint64_t intended) {
  connection->intended = intended;
  const auto whole = static_cast<ssize_t>(request_.size());
  if (Send(connection->fd, request_.data(), request_.size()) != whole) {
    Die("send");
  }
  connection->busy = true;
  ++in_flight_;
}

void HttpLoad::Schedule(uint64_t now) {
  if (options_.rate > 0) {
    for (uint64_t due = NextDue(); due <= now && due < end_; due = NextDue()) {
      waiting_.push_back(due);
      ++issued_;
    }
    longest_queue_ = std::max(longest_queue_, waiting_.size());
    while (!waiting_.empty() && !idle_.empty()) {
      SendOn(idle_.back(), waiting_.front());
      idle_.pop_back();
      waiting_.pop_front();
    }
  } else if (now < end_) {
    while (!idle_.empty()) {
      SendOn(idle_.back(), Now());
      idle_.pop_back();
    }
  }
}

void HttpLoad::Run(Report* report) {
  start_ = Now();
  end_ = start_ + static_cast<uint64_t>(options_.seconds * 1e9);
  for (;;) {
    const uint64_t now = Now();
    Schedule(now);
    if ((now >= end_ && in_flight_ == 0 && waiting_.empty()) || now > end_ + kGrace) break;
    uint64_t until = options_.rate > 0 ? std::min(NextDue(), end_) : end_;
    if (now >= end_) until = now + kLastWaits;
    for (const epoll_event& event : poller_.Wait(until)) {
      OnReadable(static_cast<Connection*>(static_cast<Watched*>(event.data.ptr)));
    }
  }
  const double seconds = static_cast<double>(Now() - start_) / 1e9;
  report->Count("requests", done_);
  report->Figure("secs", seconds);
  report->Figure("rps", static_cast<double>(done_) / seconds);
  report->Count("non200", refused_);
  report->Count("errors", errors_);
  report->Figure("p50_us", latencies_.Percentile(.5));
  report->Figure("p90_us", latencies_.Percentile(.9));
  report->Figure("p99_us", latencies_.Percentile(.99));
  report->Figure("p999_us", latencies_.Percentile(.999));
  report->Figure("max_us", latencies_.Percentile(1));
  report->Count("maxq", longest_queue_);
  report->Count("unfinished", in_flight_);
}

void HttpLoad::OnReadable(Connection* c) {
  // Of a body that does not fit, the last bytes are overwritten: only its length counts.
  const size_t kept = std::min(c->length, kResponseBytes / 2);
  const ssize_t n = recv(c->fd, c->response.data() + kept, kResponseBytes - 1 - kept, 0);
  if (n < 0 && errno == EAGAIN) return;
  if (n <= 0) {
    Redial(c);
    return;
  }
  c->length += static_cast<size_t>(n);
  if (c->wanted == 0) {
    c->response[c->length] = '\0';
    const void* end = memmem(c->response.data(), c->length, "\r\n\r\n", 4);
    if (end == nullptr) return;
    const size_t head = static_cast<size_t>(static_cast<const char*>(end) - c->response.data()) + 4;
    c->wanted = ResponseBytes(c->response.data(), head);
    if (strncmp(c->response.data() + 9, "200", 3) != 0) ++refused_;
  }
  if (c->length < c->wanted) return;
  c->wanted = c->length = 0;
  c->busy = false;
  --in_flight_;
  ++done_;
  const uint64_t now = Now();
  latencies_.Add(now - c->intended);
  if (options_.rate == 0 && now < end_) {
    SendOn(c, now);
  } else {
    idle_.push_back(c);
  }
}

void HttpLoad::Redial(Connection* c) {
  if (++errors_ > kTooManyErrors) {
    fprintf(stderr, "%lu connections were closed on us\n", errors_);
    exit(1);
  }
  poller_.Forget(c);
  close(c->fd);
  c->fd = Connect(options_.address);
  if (c->fd < 0) Die("connect again");
  poller_.Arm(c, EPOLLIN);
  c->length = c->wanted = 0;
  if (c->busy) {
    c->busy = false;
    --in_flight_;
    idle_.push_back(c);
  }
}

}  // namespace countersign::bench
