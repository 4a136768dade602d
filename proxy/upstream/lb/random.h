// Random numbers for balancing: fast, not secret.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_LB_RANDOM_H_
#define COUNTERSIGN_PROXY_UPSTREAM_LB_RANDOM_H_

#include <cstdint>

namespace countersign::upstream {

// SplitMix64 (Steele, Lea and Flood, 2014). One a worker; seeded by hand in tests.
class Random {
 public:
  explicit Random(uint64_t seed) : state_(seed) {}

  uint64_t Next() { return Mix(state_ += 0x9e3779b97f4a7c15u); }
  // In [0, n); `n` is not 0. Without a division (Lemire, 2016); its bias is below n / 2^32.
  uint32_t Below(uint32_t n) {
    return static_cast<uint32_t>(((Next() >> 32) * static_cast<uint64_t>(n)) >> 32);
  }
  // In [0, 1).
  double Unit() { return static_cast<double>(Next() >> 11) * 0x1.0p-53; }

  // Spreads the bits of `x` over all 64: a bijection, the same in every process.
  static uint64_t Mix(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
  }

 private:
  uint64_t state_;
};

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_LB_RANDOM_H_
