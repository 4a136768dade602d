// Says in the log what happened to hosts.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_EVENT_LOG_H_
#define COUNTERSIGN_PROXY_UPSTREAM_EVENT_LOG_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "proxy/event/clock.h"

namespace countersign::upstream {

// One a worker, on its thread. At most kLinesPerSecond, so that an outage of many hosts does not
// drown the log; what was left out is counted in the next line.
class EventLog {
 public:
  static constexpr int kLinesPerSecond = 20;

  explicit EventLog(const event::Clock& clock) : clock_(clock) {}
  void Warn(absl::string_view sentence) { Say(/*warning=*/true, sentence); }
  void Info(absl::string_view sentence) { Say(/*warning=*/false, sentence); }
  uint64_t suppressed() const { return suppressed_; }

 private:
  void Say(bool warning, absl::string_view sentence);

  const event::Clock& clock_;
  event::Instant second_{};
  int lines_ = 0;
  uint64_t suppressed_ = 0;
};

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_EVENT_LOG_H_
