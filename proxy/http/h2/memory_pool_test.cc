#include "proxy/http/h2/memory_pool.h"

#include <cstring>
#include <vector>

#include "gtest/gtest.h"

namespace countersign::http::h2 {
namespace {

TEST(MemoryPoolTest, WhatIsFreedServesTheNext) {
  MemoryPool pool;
  void* const first = pool.Allocate(100);
  std::memset(first, 1, 100);
  pool.Free(first);
  EXPECT_GT(pool.kept_bytes(), 0u);
  EXPECT_EQ(pool.Allocate(120), first);
  EXPECT_EQ(pool.mallocs(), 1u);
  pool.Free(first);
  EXPECT_EQ(pool.Trim(), 128u);
  EXPECT_EQ(pool.kept_bytes(), 0u);
}

TEST(MemoryPoolTest, WhatIsKeptIsBounded) {
  MemoryPool pool;
  std::vector<void*> all;
  for (int i = 0; i < 1000; ++i) all.push_back(pool.Allocate(4096));
  void* const large = pool.Allocate(100'000);
  std::memset(large, 2, 100'000);
  pool.Free(large);
  EXPECT_EQ(pool.kept_bytes(), 0u);
  for (void* memory : all) pool.Free(memory);
  EXPECT_LE(pool.kept_bytes(), 512u * 1024);
}

TEST(MemoryPoolTest, GrowingKeepsWhatIsThere) {
  MemoryPool pool;
  char* memory = static_cast<char*>(pool.Reallocate(nullptr, 10));
  std::memcpy(memory, "0123456789", 10);
  memory = static_cast<char*>(pool.Reallocate(memory, 10'000));
  EXPECT_EQ(std::memcmp(memory, "0123456789", 10), 0);
  pool.Free(memory);
  nghttp2_mem* const seam = pool.memory();
  auto* zeros = static_cast<char*>(seam->calloc(10, 10, seam->mem_user_data));
  EXPECT_EQ(zeros[99], 0);
  seam->free(zeros, seam->mem_user_data);
  seam->free(nullptr, seam->mem_user_data);
}

}  // namespace
}  // namespace countersign::http::h2
