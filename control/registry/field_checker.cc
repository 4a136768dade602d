#include "control/registry/field_checker.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "api/net/http_field.h"
#include "api/net/http_limits.h"
#include "re2/re2.h"

namespace countersign::control::registry {
namespace {

constexpr int kMaxLabels = 128;

}  // namespace

bool IsDnsName(absl::string_view name, size_t max, bool dots) {
  if (name.empty() || name.size() > max) {
    return false;
  }
  bool start = true;
  char last = '-';
  for (char c : name) {
    if (dots && c == '.') {
      if (start || last == '-') {
        return false;
      }
      start = true;
      last = c;
      continue;
    }
    const bool alnum = absl::ascii_islower(c) || absl::ascii_isdigit(c);
    if (!alnum && (c != '-' || start)) {
      return false;
    }
    start = false;
    last = c;
  }
  return !start && last != '-';
}

bool IsLabelText(absl::string_view text) {
  if (text.size() > 63) {
    return false;
  }
  if (text.empty()) {
    return true;
  }
  for (char c : text) {
    if (!absl::ascii_isalnum(c) && c != '-' && c != '_' && c != '.') {
      return false;
    }
  }
  return absl::ascii_isalnum(text.front()) && absl::ascii_isalnum(text.back());
}

void FieldChecker::Labels(const google::protobuf::Map<std::string, std::string>& labels,
                          const std::string& field) {
  if (labels.size() > kMaxLabels) {
    Fail(field,
         absl::StrCat("has ", labels.size(), " labels; at most ", kMaxLabels, " are allowed"));
    return;
  }
  for (const auto& [key, value] : labels) {
    absl::string_view name = key;
    const size_t slash = name.find('/');
    bool ok = true;
    if (slash != absl::string_view::npos) {
      ok = IsDnsName(name.substr(0, slash), 253, true);
      name.remove_prefix(slash + 1);
    }
    if (!ok || name.empty() || !IsLabelText(name)) {
      Fail(field,
           "has a key that is no label: letters, digits, `-`, `_`, `.`, at most 63, "
           "after an optional DNS prefix and `/`");
    } else if (!IsLabelText(value)) {
      Fail(absl::StrCat(field, ".", key),
           "is no label value: letters, digits, `-`, `_`, `.`, at most 63, beginning and "
           "ending with a letter or digit");
    }
  }
}

void FieldChecker::Port(uint32_t port, const std::string& field) {
  if (port < 1 || port > 65535) {
    Fail(field, absl::StrCat("is ", port, "; a port is 1 to 65535"));
  }
}

void FieldChecker::Transport(const std::string& protocol, const std::string& field) {
  if (!protocol.empty() && protocol != "TCP" && protocol != "UDP" && protocol != "SCTP") {
    Fail(field, "must be TCP, UDP or SCTP");
  }
}

void FieldChecker::Locality(const std::string& locality, const std::string& field) {
  if (locality.empty()) {
    return;
  }
  const std::vector<std::string> parts = absl::StrSplit(locality, '/');
  if (parts.size() > 3 || !std::all_of(parts.begin(), parts.end(), [](const std::string& part) {
        return !part.empty() && IsLabelText(part);
      })) {
    Fail(field, "must be `region`, `region/zone` or `region/zone/subzone`");
  }
}

void FieldChecker::DnsName(const std::string& name, const std::string& field) {
  if (name.empty()) {
    Fail(field, "is required");
  } else if (!IsDnsName(name, 253, true)) {
    Fail(field,
         "must be lowercase letters, digits, `-` and `.`, at most 253, beginning and ending with a "
         "letter or digit");
  }
}

void FieldChecker::Hostname(const std::string& name, const std::string& field) {
  const absl::string_view rest =
      absl::StartsWith(name, "*.") ? absl::string_view(name).substr(2) : name;
  if (!IsDnsName(rest, 253, true)) {
    Fail(field, "must be a host name in lowercase, or `*.` and one");
  }
}

void FieldChecker::Duration(const google::protobuf::Duration& value, const std::string& field,
                            absl::Duration min, absl::Duration max) {
  const absl::Duration duration = absl::Seconds(value.seconds()) + absl::Nanoseconds(value.nanos());
  if (duration < min || duration > max) {
    Fail(field, absl::StrCat("must be between ", absl::FormatDuration(min), " and ",
                             absl::FormatDuration(max)));
  }
}

void FieldChecker::Range(uint64_t value, const std::string& field, uint64_t min, uint64_t max) {
  if (value < min || value > max) {
    Fail(field, absl::StrCat("is ", value, "; it must be ", min, " to ", max));
  }
}

void FieldChecker::Percent(double value, const std::string& field) {
  if (!(value >= 0 && value <= 100)) {
    Fail(field, "must be 0 to 100");
  }
}

void FieldChecker::Regex(const std::string& text, const std::string& field) {
  if (text.empty() || text.size() > net::kMaxRegexBytes) {
    Fail(field, absl::StrCat("must be an expression of 1 to ", net::kMaxRegexBytes, " bytes"));
    return;
  }
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(net::kMaxRegexMemory);
  const re2::RE2 regex(text, options);
  if (!regex.ok()) {
    Fail(field, absl::StrCat("is no regular expression of RE2: ", regex.error()));
  } else if (regex.ProgramSize() > net::kMaxRegexProgram) {
    Fail(field, absl::StrCat("needs a program of ", regex.ProgramSize(), " steps; proxies take ",
                             net::kMaxRegexProgram, ": use fewer or smaller repetitions"));
  }
}

void FieldChecker::HeaderName(const std::string& name, const std::string& field) {
  if (!net::IsHeaderName(name)) {
    Fail(field, "is no name of a header field");
  }
}

void FieldChecker::ChangedHeader(const std::string& name, const std::string& field) {
  if (const char* why = net::WhyUntouchable(name); why != nullptr) {
    Fail(field, why);
  } else {
    HeaderName(name, field);
  }
}

void FieldChecker::HeaderValue(const std::string& value, const std::string& field) {
  if (!net::IsHeaderValue(value)) {
    Fail(field, "is no value of a header field: printable ASCII, without white space at the ends");
  }
}

void FieldChecker::Path(const std::string& path, const std::string& field) {
  if (!net::IsAbsolutePath(path)) {
    Fail(field, "must begin with `/` and have neither `?` nor `#` nor spaces");
  }
}

}  // namespace countersign::control::registry
