#include "proxy/admin/stats_page.h"

#include <nlohmann/json.hpp>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "re2/re2.h"

namespace countersign::admin {
namespace {

constexpr int64_t kMaxRegexMemory = 1 << 20;

nlohmann::ordered_json Number(absl::string_view text) {
  int64_t integer = 0;
  if (absl::SimpleAtoi(text, &integer)) return integer;
  double real = 0;
  (void)absl::SimpleAtod(text, &real);
  return real;
}

}  // namespace

absl::StatusOr<std::string> RenderStats(absl::string_view metrics, absl::string_view filter,
                                        StatsFormat format) {
  re2::RE2::Options options(re2::RE2::Quiet);
  options.set_max_mem(kMaxRegexMemory);
  const re2::RE2 regex(re2::StringPiece(filter.data(), filter.size()), options);
  if (!regex.ok()) {
    return absl::InvalidArgumentError(
        absl::StrCat("filter is no regular expression (RE2's syntax): ", regex.error()));
  }
  std::string out;
  nlohmann::ordered_json list = nlohmann::ordered_json::array();
  for (absl::string_view line : absl::StrSplit(metrics, '\n', absl::SkipEmpty())) {
    // A value has no space in it, so the last one ends the name, whatever labels hold.
    const size_t space = line.rfind(' ');
    if (line[0] == '#' || space == absl::string_view::npos) continue;
    const absl::string_view name = line.substr(0, space);
    if (!filter.empty() &&
        !re2::RE2::PartialMatch(re2::StringPiece(name.data(), name.size()), regex)) {
      continue;
    }
    if (format == StatsFormat::kJson) {
      list.push_back({{"name", std::string(name)}, {"value", Number(line.substr(space + 1))}});
    } else {
      absl::StrAppend(&out, line, "\n");
    }
  }
  if (format == StatsFormat::kText) return out;
  const nlohmann::ordered_json page = {{"stats", std::move(list)}};
  return page.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
}

}  // namespace countersign::admin
