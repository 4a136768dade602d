// The seam through which the data plane sees time, so that tests can move it by hand.
#ifndef COUNTERSIGN_PROXY_EVENT_CLOCK_H_
#define COUNTERSIGN_PROXY_EVENT_CLOCK_H_

#include <chrono>

#include "absl/time/time.h"

namespace countersign::event {

using Instant = std::chrono::steady_clock::time_point;

class Clock {
 public:
  virtual ~Clock() = default;
  // For time-outs: never goes back.
  virtual Instant Monotonic() const = 0;
  // For certificates.
  virtual absl::Time Wall() const = 0;

  // The system's clocks.
  static const Clock& Real();
};

// Stands still until it is told otherwise. One thread.
class SimulatedClock : public Clock {
 public:
  explicit SimulatedClock(absl::Time wall) : wall_(wall) {}
  Instant Monotonic() const override { return monotonic_; }
  absl::Time Wall() const override { return wall_; }
  void Advance(std::chrono::milliseconds by) {
    monotonic_ += by;
    wall_ += absl::FromChrono(by);
  }

 private:
  Instant monotonic_{std::chrono::hours(1)};
  absl::Time wall_;
};

}  // namespace countersign::event

#endif  // COUNTERSIGN_PROXY_EVENT_CLOCK_H_
