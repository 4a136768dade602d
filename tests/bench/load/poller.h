// The event loop of the load tools: epoll, one thread, deadlines in nanoseconds.
#ifndef COUNTERSIGN_TESTS_BENCH_LOAD_POLLER_H_
#define COUNTERSIGN_TESTS_BENCH_LOAD_POLLER_H_

#include <sys/epoll.h>

#include <array>
#include <cstdint>
#include <span>

namespace countersign::bench {

// Nanoseconds of CLOCK_MONOTONIC.
uint64_t Now();

// Prints `what` with errno's text and exits: a load tool that cannot do its work has no result.
[[noreturn]] void Die(const char* what);

// A socket that a Poller watches; connections derive from it. Does not close its descriptor.
struct Watched {
  int fd = -1;
  uint32_t interest = 0;  // the epoll events that are armed now; 0 while not registered
};

// One thread; lives as long as the program.
class Poller {
 public:
  Poller();

  // Registers `watched` or changes what it waits for. Costs no system call when nothing changes.
  void Arm(Watched* watched, uint32_t events);
  // Before the descriptor of a watched socket is closed and its Watched used again.
  void Forget(Watched* watched);
  // Waits until something happens or `deadline` (Now()'s clock) passes. Valid until the next call.
  std::span<epoll_event> Wait(uint64_t deadline);
  std::span<epoll_event> WaitForever();

 private:
  int epoll_fd_;
  std::array<epoll_event, 256> events_;
};

}  // namespace countersign::bench

#endif  // COUNTERSIGN_TESTS_BENCH_LOAD_POLLER_H_
