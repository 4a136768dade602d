// Memory for nghttp2's small, short-lived objects, which it makes and frees for every request.
#ifndef COUNTERSIGN_PROXY_HTTP_H2_MEMORY_POOL_H_
#define COUNTERSIGN_PROXY_HTTP_H2_MEMORY_POOL_H_

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>

namespace countersign::http::h2 {

// Free lists by size, one set a thread: what a session frees, the next request gets, without a
// lock. Kept memory is bounded by kMaxKept; beyond kMaxPooled malloc serves. A session must be
// destroyed on the thread that made it.
class MemoryPool {
 public:
  static MemoryPool& ForThisThread();

  MemoryPool();
  MemoryPool(const MemoryPool&) = delete;
  MemoryPool& operator=(const MemoryPool&) = delete;
  ~MemoryPool();

  void* Allocate(size_t size);
  void Free(void* memory);
  void* Reallocate(void* memory, size_t size);

  // For nghttp2_session_*_new3.
  nghttp2_mem* memory() { return &memory_; }
  size_t kept_bytes() const { return kept_; }
  // Calls of malloc so far: none are added in steady state.
  uint64_t mallocs() const { return mallocs_; }
  // Gives what is kept back to malloc; returns how many bytes that were.
  size_t Trim();

 private:
  static constexpr size_t kMaxKept = 512 * 1024;
  static constexpr size_t kMaxPooled = 4096;
  static constexpr int kSmallest = 5;  // 2^5 bytes
  static constexpr int kClasses = 8;   // up to 2^12
  struct alignas(16) Header {
    uint32_t size_class;  // kClasses: from malloc
    uint32_t size;
    Header* next;
  };
  static int ClassOf(size_t size);

  nghttp2_mem memory_;
  Header* free_[kClasses] = {};
  size_t kept_ = 0;
  uint64_t mallocs_ = 0;
};

}  // namespace countersign::http::h2

#endif  // COUNTERSIGN_PROXY_HTTP_H2_MEMORY_POOL_H_
