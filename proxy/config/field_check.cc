#include "proxy/config/field_check.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "api/net/http_limits.h"

namespace countersign::config {
void FieldCheck::Refuse(absl::string_view path, absl::string_view reason) {
  if (status_.ok()) {
    status_ = absl::InvalidArgumentError(absl::StrCat(path, ": ", reason));
  }
}

void FieldCheck::Take(const absl::Status& status) {
  if (status_.ok()) {
    status_ = status;
  }
}

FieldCheck::Milliseconds FieldCheck::Duration(const google::protobuf::Duration& in,
                                              absl::string_view path, Milliseconds min,
                                              Milliseconds max) {
  // Bounded first, so that nothing overflows.
  constexpr int64_t kMaxSeconds = int64_t{400} * 24 * 3600;
  const bool sane = in.seconds() >= 0 && in.seconds() <= kMaxSeconds && in.nanos() >= 0 &&
                    in.nanos() <= 999'999'999;
  const Milliseconds value(sane ? in.seconds() * 1000 + in.nanos() / 1'000'000 : -1);
  if (value < min || value > max) {
    Refuse(path, absl::StrCat("must be ", min.count(), " ms to ", max.count() / 1000, " s"));
    return min;
  }
  return value;
}

uint32_t FieldCheck::Number(uint64_t value, absl::string_view path, uint64_t min, uint64_t max) {
  if (value < min || value > max) {
    Refuse(path, absl::StrCat("must be ", min, " to ", max));
    return static_cast<uint32_t>(min);
  }
  return static_cast<uint32_t>(value);
}

uint32_t FieldCheck::PerMillion(const envoy::type::v3::Percent& in, absl::string_view path) {
  if (!(in.value() >= 0 && in.value() <= 100)) {
    Refuse(absl::StrCat(path, ".value"), "must be 0 to 100");
    return 0;
  }
  return static_cast<uint32_t>(std::lround(in.value() * 10'000));
}

uint32_t FieldCheck::PerMillion(const envoy::type::v3::FractionalPercent& in,
                                absl::string_view path) {
  uint64_t scale = 1;
  switch (in.denominator()) {
    case envoy::type::v3::FractionalPercent::HUNDRED:
      scale = 10'000;
      break;
    case envoy::type::v3::FractionalPercent::TEN_THOUSAND:
      scale = 100;
      break;
    case envoy::type::v3::FractionalPercent::MILLION:
      break;
    default:
      Refuse(absl::StrCat(path, ".denominator"), "must be HUNDRED, TEN_THOUSAND or MILLION");
      return 0;
  }
  return Number(in.numerator() * scale, absl::StrCat(path, " in millionths"), 0, 1'000'000);
}

std::shared_ptr<const re2::RE2> FieldCheck::Regex(const std::string& text, absl::string_view path) {
  if (text.empty() || text.size() > net::kMaxRegexBytes) {
    Refuse(path, absl::StrCat("must have 1 to ", net::kMaxRegexBytes, " bytes"));
    return nullptr;
  }
  std::shared_ptr<const re2::RE2>& known = regexes_[text];
  if (known != nullptr) {
    return known;
  }
  if (regexes_.size() > net::kMaxRegexes) {
    Refuse(path, absl::StrCat("is one regular expression too many: a resource may have ",
                              net::kMaxRegexes));
    return nullptr;
  }
  re2::RE2::Options options;
  options.set_log_errors(false);
  options.set_max_mem(net::kMaxRegexMemory);
  auto regex = std::make_shared<const re2::RE2>(text, options);
  if (!regex->ok()) {
    Refuse(path, absl::StrCat("is no regular expression of RE2: ", regex->error()));
    return nullptr;
  }
  if (regex->ProgramSize() > net::kMaxRegexProgram) {
    Refuse(path,
           absl::StrCat("needs a program of ", regex->ProgramSize(), " steps; ",
                        net::kMaxRegexProgram, " are allowed: use fewer or smaller repetitions"));
    return nullptr;
  }
  known = regex;
  return regex;
}

const std::string& FieldCheck::Text(const std::string& text, absl::string_view path, size_t max) {
  if (text.empty()) {
    Refuse(path, "is required");
  } else if (text.size() > max) {
    Refuse(path, absl::StrCat("must have at most ", max, " bytes"));
  }
  return text;
}

}  // namespace countersign::config
