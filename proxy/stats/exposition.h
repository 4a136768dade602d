// Prometheus text exposition format 0.0.4, straight into a string.
#ifndef COUNTERSIGN_PROXY_STATS_EXPOSITION_H_
#define COUNTERSIGN_PROXY_STATS_EXPOSITION_H_

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "proxy/stats/registry.h"

namespace countersign::stats {

// The `# HELP` and `# TYPE` lines.
void AppendFamilyHeader(const Family& family, std::string* out);

// One sample. A gauge's `value` is read as a signed number.
void AppendSample(const Family& family, const std::vector<std::string>& label_values,
                  uint64_t value, std::string* out);

// A histogram's buckets, not cumulative, with the one beyond the last bound.
struct HistogramTotals {
  std::vector<uint64_t> counts;
  uint64_t sum = 0;
};
// `_bucket` for each bound and +Inf, `_sum` and `_count`, in the family's exposed unit.
void AppendHistogram(const Family& family, const std::vector<std::string>& label_values,
                     const HistogramTotals& totals, std::string* out);

// `counter`, `gauge`, `histogram`.
const char* TypeName(Type type);

// Backslash, double quote and line feed are escaped; bytes that are not UTF-8 become U+FFFD, since
// a scraper discards the whole page for one of them.
void AppendEscapedLabelValue(absl::string_view value, std::string* out);

}  // namespace countersign::stats

#endif  // COUNTERSIGN_PROXY_STATS_EXPOSITION_H_
