#ifndef COUNTERSIGN_PROXY_ACCESS_LOG_RING_H_
#define COUNTERSIGN_PROXY_ACCESS_LOG_RING_H_

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace countersign::access_log {

// Bytes on their way from one thread to another. Whole lines go in, so what comes out ends with a
// line. One producer, one consumer, no lock.
class Ring {
 public:
  // Some 20 ms of 20,000 lines a second: the consumer may be scheduled that late on a busy machine.
  static constexpr size_t kBytes = 256 * 1024;

  // The producer's. False: it does not fit, and nothing was put in.
  bool Push(absl::string_view line) {
    const uint64_t head = head_.load(std::memory_order_relaxed);
    if (line.size() > kBytes - (head - tail_.load(std::memory_order_acquire))) return false;
    const size_t at = head % kBytes;
    const size_t first = std::min(line.size(), kBytes - at);
    std::memcpy(bytes_.get() + at, line.data(), first);
    std::memcpy(bytes_.get(), line.data() + first, line.size() - first);
    // Sequentially consistent, with the consumer's look before it sleeps: one of the two sees the
    // other.
    head_.store(head + line.size(), std::memory_order_seq_cst);
    return true;
  }
  // The producer's.
  bool half_full() const {
    return head_.load(std::memory_order_relaxed) - tail_.load(std::memory_order_relaxed) >
           kBytes / 2;
  }

  // The consumer's: appends all that is there.
  void PopAll(std::string* out) {
    const uint64_t head = head_.load(std::memory_order_acquire);
    const uint64_t tail = tail_.load(std::memory_order_relaxed);
    const size_t at = tail % kBytes;
    const size_t size = head - tail;
    const size_t first = std::min(size, kBytes - at);
    out->append(bytes_.get() + at, first);
    out->append(bytes_.get(), size - first);
    tail_.store(head, std::memory_order_release);
  }
  bool empty() const {
    return head_.load(std::memory_order_seq_cst) == tail_.load(std::memory_order_relaxed);
  }

 private:
  // Not cleared: pages that are never written to take no memory.
  const std::unique_ptr<char[]> bytes_{new char[kBytes]};
  alignas(64) std::atomic<uint64_t> head_{0};
  alignas(64) std::atomic<uint64_t> tail_{0};
};

}  // namespace countersign::access_log

#endif  // COUNTERSIGN_PROXY_ACCESS_LOG_RING_H_
