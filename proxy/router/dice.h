// Chance: for weights, faults, mirrors and jitter. Not for secrets.
#ifndef COUNTERSIGN_PROXY_ROUTER_DICE_H_
#define COUNTERSIGN_PROXY_ROUTER_DICE_H_

#include <cstdint>

namespace countersign::router {

// xorshift64* (Vigna, 2016). A value; one thread. The same seed gives the same throws.
class Dice {
 public:
  // A seed that no other has, from the kernel's randomness once a thread.
  Dice();
  explicit Dice(uint64_t seed) : state_(seed | 1) {}

  uint64_t Next() {
    state_ ^= state_ >> 12;
    state_ ^= state_ << 25;
    state_ ^= state_ >> 27;
    return state_ * 0x2545F4914F6CDD1DULL;
  }
  // In [0, bound); 0 for 0.
  uint64_t Below(uint64_t bound) {
    return static_cast<uint64_t>((static_cast<unsigned __int128>(Next()) * bound) >> 64);
  }
  bool PerMillion(uint32_t share) { return share > 0 && Below(1'000'000) < share; }

 private:
  uint64_t state_;
};

}  // namespace countersign::router

#endif  // COUNTERSIGN_PROXY_ROUTER_DICE_H_
