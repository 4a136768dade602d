// The /stats page: the registry's own text, for people and scripts.
#ifndef COUNTERSIGN_PROXY_ADMIN_STATS_PAGE_H_
#define COUNTERSIGN_PROXY_ADMIN_STATS_PAGE_H_

#include <string>

#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"

namespace countersign::admin {

enum class StatsFormat : uint8_t { kText, kJson };

// `metrics` is Prometheus text. Samples whose `name{labels}` the regular expression (RE2, found
// anywhere) matches; all of them when it is empty. Text: `name{labels} value` a line; JSON:
// {"stats": [{"name": ..., "value": ...}]}. Errors say what is wrong with the expression.
absl::StatusOr<std::string> RenderStats(absl::string_view metrics, absl::string_view filter,
                                        StatsFormat format);

}  // namespace countersign::admin

#endif  // COUNTERSIGN_PROXY_ADMIN_STATS_PAGE_H_
