#include "proxy/stats/exposition.h"

#include <cstddef>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "proxy/stats/utf8.h"

namespace countersign::stats {
namespace {

// `name="value",...`, without braces.
std::string RenderLabels(const Family& family, const std::vector<std::string>& label_values) {
  std::string out;
  size_t i = 0;
  for (const char* label : family.labels) {
    absl::StrAppend(&out, out.empty() ? "" : ",", label, "=\"");
    AppendEscapedLabelValue(label_values[i++], &out);
    out.push_back('"');
  }
  return out;
}

}  // namespace

void AppendEscapedLabelValue(absl::string_view value, std::string* out) {
  while (!value.empty()) {
    const size_t length = Utf8Length(value);
    if (length == 0) {
      out->append("\xEF\xBF\xBD");
      value.remove_prefix(1);
      continue;
    }
    switch (value[0]) {
      case '\\':
        out->append("\\\\");
        break;
      case '"':
        out->append("\\\"");
        break;
      case '\n':
        out->append("\\n");
        break;
      default:
        out->append(value.data(), length);
    }
    value.remove_prefix(length);
  }
}

void AppendFamilyHeader(const Family& family, std::string* out) {
  absl::StrAppend(out, "# HELP ", family.name, " ");
  for (const char* c = family.help; *c != '\0'; ++c) {
    if (*c == '\\') {
      out->append("\\\\");
    } else if (*c == '\n') {
      out->append("\\n");
    } else {
      out->push_back(*c);
    }
  }
  absl::StrAppend(out, "\n# TYPE ", family.name, " ", TypeName(family.type), "\n");
}

const char* TypeName(Type type) {
  switch (type) {
    case Type::kCounter:
      return "counter";
    case Type::kGauge:
      return "gauge";
    case Type::kHistogram:
      return "histogram";
  }
  return "untyped";
}

void AppendSample(const Family& family, const std::vector<std::string>& label_values,
                  uint64_t value, std::string* out) {
  out->append(family.name);
  const std::string labels = RenderLabels(family, label_values);
  if (!labels.empty()) {
    absl::StrAppend(out, "{", labels, "}");
  }
  if (family.type == Type::kGauge) {
    absl::StrAppend(out, " ", static_cast<int64_t>(value), "\n");
  } else {
    absl::StrAppend(out, " ", value, "\n");
  }
}

void AppendHistogram(const Family& family, const std::vector<std::string>& label_values,
                     const HistogramTotals& totals, std::string* out) {
  const std::string labels = RenderLabels(family, label_values);
  const auto in_unit = [&family](uint64_t value) {
    return absl::StrCat(static_cast<double>(value) / static_cast<double>(family.divisor));
  };
  uint64_t below = 0;
  size_t i = 0;
  for (const uint64_t bound : family.bounds) {
    below += totals.counts[i++];
    absl::StrAppend(out, family.name, "_bucket{", labels, labels.empty() ? "" : ",", "le=\"",
                    in_unit(bound), "\"} ", below, "\n");
  }
  below += totals.counts[i];
  absl::StrAppend(out, family.name, "_bucket{", labels, labels.empty() ? "" : ",", "le=\"+Inf\"} ",
                  below, "\n");
  const std::string braced = labels.empty() ? "" : absl::StrCat("{", labels, "}");
  // StrCat's six digits would hide what was added to a large sum.
  absl::StrAppend(out, family.name, "_sum", braced, " ");
  if (family.divisor == 1) {
    absl::StrAppend(out, totals.sum, "\n");
  } else {
    absl::StrAppendFormat(out, "%.15g\n",
                          static_cast<double>(totals.sum) / static_cast<double>(family.divisor));
  }
  absl::StrAppend(out, family.name, "_count", braced, " ", below, "\n");
}

}  // namespace countersign::stats
