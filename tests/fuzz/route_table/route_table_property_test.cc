// What the fuzzer looks for, with inputs that are made here: the same ones in each run.
#include <cstdint>
#include <random>
#include <vector>

#include "gtest/gtest.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

TEST(RouteTableProperty, ItTakesWhatThePlainRulesTakeForThirtyThousandTablesAndRequests) {
  std::mt19937_64 random(20240607);
  for (int round = 0; round < 30'000; ++round) {
    std::vector<uint8_t> input(16 + random() % 400);
    for (uint8_t& byte : input) byte = static_cast<uint8_t>(random());
    LLVMFuzzerTestOneInput(input.data(), input.size());
  }
}

}  // namespace
