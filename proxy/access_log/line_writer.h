#ifndef COUNTERSIGN_PROXY_ACCESS_LOG_LINE_WRITER_H_
#define COUNTERSIGN_PROXY_ACCESS_LOG_LINE_WRITER_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "proxy/access_log/ring.h"
#include "proxy/stats/registry.h"

namespace countersign::access_log {

// The thread that takes lines from the rings and writes them to a descriptor. It sleeps while there
// are none; the first line wakes it, and then it gathers what comes within kGatherTime.
//
// Lifetime: as the access log's. Destroying it writes what is left, within kLastWait where the
// descriptor is no file and its reader stands still.
class LineWriter {
 public:
  static constexpr std::chrono::milliseconds kGatherTime{50};
  static constexpr std::chrono::milliseconds kLastWait{1'000};

  LineWriter(int fd, stats::Registry& stats);
  ~LineWriter();

  // Any thread. Valid until destruction.
  Ring& AddRing();
  // A producer has put a line in. Makes a system call only if the writer sleeps or has to hurry.
  void OnPushed(const Ring& ring) {
    // Sequentially consistent: see Ring::Push.
    if (sleeping_.load(std::memory_order_seq_cst) && sleeping_.exchange(false)) Wake();
    if (ring.half_full() && !hurry_.load(std::memory_order_relaxed) && !hurry_.exchange(true)) {
      Wake();
    }
  }
  // Any thread. From the next write on, lines go to `fd`.
  void Replace(int fd);
  void Flush();

 private:
  void Run();
  void Wake();
  // False: it was woken.
  bool Sleep(std::chrono::milliseconds time);
  // Whether there was anything.
  bool Drain();
  void WriteAll(const std::string& lines);
  bool AllEmpty();

  stats::Registry& stats_;
  int fd_;             // the writer's own
  bool file_ = false;  // never keeps a write waiting for a reader
  const int wake_fd_;
  std::atomic<bool> sleeping_{false};
  std::atomic<bool> hurry_{false};
  std::atomic<bool> stop_{false};
  std::atomic<int> next_fd_{-1};

  std::mutex mutex_;  // of what follows; never held by a worker after its first line
  std::vector<std::unique_ptr<Ring>> rings_;
  std::condition_variable flushed_;
  uint64_t flushes_asked_ = 0;
  uint64_t flushes_done_ = 0;

  std::string batch_;
  stats::Cell* write_failed_ = nullptr;
  std::thread thread_;
};

}  // namespace countersign::access_log

#endif  // COUNTERSIGN_PROXY_ACCESS_LOG_LINE_WRITER_H_
