#include "proxy/http/testing/allocation_counter.h"

#include <atomic>
#include <cstddef>

namespace {
std::atomic<uint64_t> allocations{0};
}  // namespace

#if !defined(COUNTERSIGN_ASAN) && !defined(COUNTERSIGN_TSAN)

// glibc's own, under the name that it keeps for whoever takes the usual one.
extern "C" void* __libc_malloc(size_t);
extern "C" void* malloc(size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  return __libc_malloc(size);
}

namespace countersign::http::testing {
bool CanCountAllocations() { return true; }
}  // namespace countersign::http::testing

#else

namespace countersign::http::testing {
bool CanCountAllocations() { return false; }
}  // namespace countersign::http::testing

#endif

namespace countersign::http::testing {
uint64_t Allocations() { return allocations.load(std::memory_order_relaxed); }
}  // namespace countersign::http::testing
