// The TCP loads: bulk transfer, echo, new connections, idle connections. Each runs once, on one
// thread, and puts its figures into the report; each exits with a sentence when the pair breaks.
#ifndef COUNTERSIGN_TESTS_BENCH_LOAD_TCP_LOAD_H_
#define COUNTERSIGN_TESTS_BENCH_LOAD_TCP_LOAD_H_

#include <netinet/in.h>

#include <cstddef>
#include <cstdint>

#include "tests/bench/load/report.h"

namespace countersign::bench {

struct BulkOptions {
  sockaddr_in address;
  size_t connections;
  double seconds;
  char direction;  // 'U' or 'D'
  uint64_t block_mib;
};
// Blocks back to back on every connection; each acknowledged by one byte.
void RunBulk(const BulkOptions& options, Report* report);

struct EchoOptions {
  sockaddr_in address;
  size_t connections;
  size_t size;
  double seconds;
};
// Ping-pong: every connection sends `size` bytes and waits for them to come back.
void RunEcho(const EchoOptions& options, Report* report);

struct ConnectOptions {
  sockaddr_in address;
  size_t concurrent;
  double seconds;
};
// Connect, echo one byte, close; `concurrent` at a time.
void RunConnect(const ConnectOptions& options, Report* report);

// Opens `count` connections, each having echoed one byte, reports how many, and holds them until
// standard input ends.
void RunIdle(const sockaddr_in& address, size_t count);

}  // namespace countersign::bench

#endif  // COUNTERSIGN_TESTS_BENCH_LOAD_TCP_LOAD_H_
