#include "proxy/event/clock.h"

#include "absl/time/clock.h"

namespace countersign::event {
namespace {

class RealClock : public Clock {
 public:
  Instant Monotonic() const override { return std::chrono::steady_clock::now(); }
  absl::Time Wall() const override { return absl::Now(); }
};

}  // namespace

const Clock& Clock::Real() {
  static const RealClock* const clock = new RealClock;
  return *clock;
}

}  // namespace countersign::event
