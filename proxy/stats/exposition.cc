#include "proxy/stats/exposition.h"

#include <cstddef>

#include "absl/strings/str_cat.h"

namespace countersign::stats {
namespace {

// The length of the well-formed UTF-8 sequence (RFC 3629, section 4) at the start of `text`, or 0.
size_t Utf8Length(absl::string_view text) {
  auto at = [&](size_t i) -> unsigned char {
    return i < text.size() ? static_cast<unsigned char>(text[i]) : 0;
  };
  auto tail = [&](size_t i) { return (at(i) & 0xC0) == 0x80; };
  const unsigned char first = at(0);
  if (first < 0x80) {
    return 1;
  }
  if (first >= 0xC2 && first <= 0xDF) {
    return tail(1) ? 2 : 0;
  }
  if (first >= 0xE0 && first <= 0xEF) {
    if ((first == 0xE0 && at(1) < 0xA0) || (first == 0xED && at(1) > 0x9F)) {
      return 0;
    }
    return tail(1) && tail(2) ? 3 : 0;
  }
  if (first >= 0xF0 && first <= 0xF4) {
    if ((first == 0xF0 && at(1) < 0x90) || (first == 0xF4 && at(1) > 0x8F)) {
      return 0;
    }
    return tail(1) && tail(2) && tail(3) ? 4 : 0;
  }
  return 0;
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
  absl::StrAppend(out, "\n# TYPE ", family.name, " ",
                  family.type == Type::kCounter ? "counter" : "gauge", "\n");
}

void AppendSample(const Family& family, const std::vector<std::string>& label_values,
                  uint64_t value, std::string* out) {
  out->append(family.name);
  if (!label_values.empty()) {
    char separator = '{';
    size_t i = 0;
    for (const char* label : family.labels) {
      out->push_back(separator);
      absl::StrAppend(out, label, "=\"");
      AppendEscapedLabelValue(label_values[i++], out);
      out->push_back('"');
      separator = ',';
    }
    out->push_back('}');
  }
  if (family.type == Type::kGauge) {
    absl::StrAppend(out, " ", static_cast<int64_t>(value), "\n");
  } else {
    absl::StrAppend(out, " ", value, "\n");
  }
}

}  // namespace countersign::stats
