#include "proxy/upstream/event_log.h"

#include <spdlog/spdlog.h>

#include <string>

#include "absl/strings/str_cat.h"

namespace countersign::upstream {

void EventLog::Say(bool warning, absl::string_view sentence) {
  const event::Instant now = clock_.Monotonic();
  if (now - second_ >= std::chrono::seconds(1)) {
    second_ = now;
    lines_ = 0;
  }
  if (++lines_ > kLinesPerSecond) {
    ++suppressed_;
    return;
  }
  std::string line(sentence);
  if (suppressed_ > 0) absl::StrAppend(&line, " (", suppressed_, " lines were left out)");
  suppressed_ = 0;
  spdlog::log(warning ? spdlog::level::warn : spdlog::level::info, "{}", line);
}

}  // namespace countersign::upstream
