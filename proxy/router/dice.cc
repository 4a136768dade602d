#include "proxy/router/dice.h"

#include <random>

namespace countersign::router {

Dice::Dice() : state_(0) {
  thread_local std::mt19937_64 seeds = [] {
    std::random_device device;
    return std::mt19937_64((static_cast<uint64_t>(device()) << 32) | device());
  }();
  state_ = seeds() | 1;
}

}  // namespace countersign::router
