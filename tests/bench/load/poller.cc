#include "tests/bench/load/poller.h"

#include <sys/prctl.h>
#include <time.h>

#include <cstdio>
#include <cstdlib>

namespace countersign::bench {

namespace {
constexpr uint64_t kNanosPerSecond = 1'000'000'000;
}  // namespace

uint64_t Now() {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * kNanosPerSecond + static_cast<uint64_t>(t.tv_nsec);
}

void Die(const char* what) {
  perror(what);
  exit(1);
}

Poller::Poller() : epoll_fd_(epoll_create1(EPOLL_CLOEXEC)) {
  if (epoll_fd_ < 0) Die("epoll_create1");
  // The open loop sends at intended times: the kernel's default slack of 50 us would be seen.
  prctl(PR_SET_TIMERSLACK, 1000);
}

void Poller::Arm(Watched* watched, uint32_t events) {
  if (watched->interest == events) return;
  epoll_event event{.events = events, .data = {.ptr = watched}};
  const int operation = watched->interest != 0 ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
  if (epoll_ctl(epoll_fd_, operation, watched->fd, &event) != 0) Die("epoll_ctl");
  watched->interest = events;
}

void Poller::Forget(Watched* watched) {
  if (watched->interest != 0) epoll_ctl(epoll_fd_, EPOLL_CTL_DEL, watched->fd, nullptr);
  watched->interest = 0;
}

std::span<epoll_event> Poller::Wait(uint64_t deadline) {
  const uint64_t now = Now();
  const uint64_t left = deadline > now ? deadline - now : 0;
  const timespec timeout{.tv_sec = static_cast<time_t>(left / kNanosPerSecond),
                         .tv_nsec = static_cast<long>(left % kNanosPerSecond)};
  const int n =
      epoll_pwait2(epoll_fd_, events_.data(), static_cast<int>(events_.size()), &timeout, nullptr);
  return {events_.data(), static_cast<size_t>(n > 0 ? n : 0)};
}

std::span<epoll_event> Poller::WaitForever() {
  const int n = epoll_wait(epoll_fd_, events_.data(), static_cast<int>(events_.size()), -1);
  return {events_.data(), static_cast<size_t>(n > 0 ? n : 0)};
}

}  // namespace countersign::bench
