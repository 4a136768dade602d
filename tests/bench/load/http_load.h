// GETs over kept-alive HTTP/1.1 connections.
#ifndef COUNTERSIGN_TESTS_BENCH_LOAD_HTTP_LOAD_H_
#define COUNTERSIGN_TESTS_BENCH_LOAD_HTTP_LOAD_H_

#include <netinet/in.h>

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

#include "tests/bench/load/poller.h"
#include "tests/bench/load/report.h"

namespace countersign::bench {

// One thread; one run. With a rate it is an open loop: requests have intended times, wait in a
// queue when all connections are busy, and their latency counts from the intended time (no
// coordinated omission). Without, every connection sends its next request as soon as it has its
// answer.
class HttpLoad {
 public:
  struct Options {
    sockaddr_in address;
    size_t connections;
    double rate;  // requests per second; 0: closed loop
    double seconds;
    std::string path = "/bench";
  };

  explicit HttpLoad(const Options& options);
  ~HttpLoad();
  void Run(Report* report);

 private:
  struct Connection;

  void Schedule(uint64_t now);
  void SendOn(Connection* connection, uint64_t intended);
  void OnReadable(Connection* connection);
  void Redial(Connection* connection);
  uint64_t NextDue() const;

  const Options options_;
  const std::string request_;
  Poller poller_;
  std::vector<Connection> connections_;
  std::vector<Connection*> idle_;
  std::deque<uint64_t> waiting_;  // intended times of requests that found no idle connection
  uint64_t start_ = 0;
  uint64_t end_ = 0;
  uint64_t issued_ = 0;
  uint64_t in_flight_ = 0;
  uint64_t done_ = 0;
  uint64_t refused_ = 0;
  uint64_t errors_ = 0;
  size_t longest_queue_ = 0;
  Latencies latencies_;
};

}  // namespace countersign::bench

#endif  // COUNTERSIGN_TESTS_BENCH_LOAD_HTTP_LOAD_H_
