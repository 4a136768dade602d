#include "proxy/router/grpc_timeout.h"

#include <algorithm>
#include <charconv>

namespace countersign::router {

std::optional<std::chrono::milliseconds> ParseGrpcTimeout(absl::string_view text) {
  if (text.size() < 2 || text.size() > 9) return std::nullopt;
  int64_t value = 0;
  for (const char c : text.substr(0, text.size() - 1)) {
    if (c < '0' || c > '9') return std::nullopt;
    value = value * 10 + (c - '0');
  }
  switch (text.back()) {
    case 'H':
      return std::chrono::hours(value);
    case 'M':
      return std::chrono::minutes(value);
    case 'S':
      return std::chrono::seconds(value);
    case 'm':
      return std::chrono::milliseconds(value);
    case 'u':
      return std::chrono::ceil<std::chrono::milliseconds>(std::chrono::microseconds(value));
    case 'n':
      return std::chrono::ceil<std::chrono::milliseconds>(std::chrono::nanoseconds(value));
    default:
      return std::nullopt;
  }
}

absl::string_view FormatGrpcTimeout(std::chrono::milliseconds timeout,
                                    char (&out)[kGrpcTimeoutBytes]) {
  constexpr int64_t kMost = 99'999'999;
  int64_t value = std::max<int64_t>(0, timeout.count());
  char unit = 'm';
  if (value > kMost) {
    value /= 1000;
    unit = 'S';
  }
  if (value > kMost) {
    value /= 60;
    unit = 'M';
  }
  value = std::min(value, kMost);
  char* const end = std::to_chars(out, out + sizeof out - 1, value).ptr;
  *end = unit;
  return {out, static_cast<size_t>(end + 1 - out)};
}

}  // namespace countersign::router
