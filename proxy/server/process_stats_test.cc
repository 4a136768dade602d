#include "proxy/server/process_stats.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace countersign::server {
namespace {

TEST(ProcessStatsTest, TellsWhatTheKernelKnows) {
  EXPECT_GT(ResidentBytes(), 100'000u);
  EXPECT_GE(OpenFileDescriptors(), 3u);
}

// The sanitizers' allocators have no heap that could be trimmed, and keep what is freed.
#if !defined(COUNTERSIGN_ASAN) && !defined(COUNTERSIGN_TSAN)
TEST(ProcessStatsTest, GivesFreeHeapBack) {
  std::vector<std::string> blocks;
  for (int i = 0; i < 4000; ++i) {
    blocks.emplace_back(16'000, 'x');
  }
  const uint64_t before = ResidentBytes();
  std::string last(16'000,
                   'y');  // keeps the top of the heap, so that free() alone gives nothing back
  blocks.clear();
  TrimHeap();
  EXPECT_LT(ResidentBytes() + 40'000'000, before);
}
#endif

TEST(ProcessStatsTest, TheProgramGoesOnWithoutItsSetUpText) {
  const uint64_t before = ResidentBytes();
  DropSetUpText();
  EXPECT_LT(ResidentBytes(), before);
  EXPECT_EQ(std::string("still ") + "here", "still here");
}

}  // namespace
}  // namespace countersign::server
