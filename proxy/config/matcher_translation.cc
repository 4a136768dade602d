#include "proxy/config/matcher_translation.h"

#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "api/net/http_field.h"
#include "api/net/http_limits.h"

namespace countersign::config {
namespace {

namespace core = ::envoy::config::core::v3;
namespace matcher = ::envoy::type::matcher::v3;
namespace route = ::envoy::config::route::v3;

constexpr size_t kMaxTextBytes = 4096;

StringMatch Fixed(StringMatch::Kind kind, const std::string& text, const std::string& path,
                  FieldCheck* check) {
  StringMatch out;
  out.kind = kind;
  if (kind == StringMatch::Kind::kExact) {
    if (text.size() > kMaxTextBytes) {
      check->Refuse(path, absl::StrCat("must have at most ", kMaxTextBytes, " bytes"));
    }
  } else {
    check->Text(text, path, kMaxTextBytes);
  }
  out.text = text;
  return out;
}

StringMatch Expression(const matcher::RegexMatcher& in, const std::string& path,
                       FieldCheck* check) {
  StringMatch out;
  out.kind = StringMatch::Kind::kRegex;
  out.text = in.regex();
  out.regex = check->Regex(in.regex(), absl::StrCat(path, ".regex"));
  return out;
}

StringMatch Present(bool present) {
  StringMatch out;
  out.kind = StringMatch::Kind::kPresent;
  out.invert = !present;
  return out;
}

// A name that may be matched on: a token, or a pseudo-header of requests.
std::string MatchedName(const std::string& name, const std::string& path, FieldCheck* check) {
  std::string lower = absl::AsciiStrToLower(name);
  if (!net::IsHeaderName(lower) && lower != ":method" && lower != ":authority" &&
      lower != ":path" && lower != ":scheme") {
    check->Refuse(path, "is no name of a header field");
  }
  return lower == "host" ? ":authority" : lower;
}

// Envoy's `%COMMAND%`s are not honoured; `%%` is a plain `%`.
std::string Literal(const std::string& value, const std::string& path, FieldCheck* check) {
  std::string out;
  for (size_t i = 0; i < value.size(); ++i) {
    if (value[i] == '%') {
      if (i + 1 >= value.size() || value[i + 1] != '%') {
        check->Refuse(path, "has a `%`: substitutions are not honoured; a plain one is `%%`");
        return out;
      }
      ++i;
    }
    out.push_back(value[i]);
  }
  return out;
}

}  // namespace

StringMatch TranslateStringMatch(const matcher::StringMatcher& in, const std::string& path,
                                 FieldCheck* check) {
  StringMatch out;
  switch (in.match_pattern_case()) {
    case matcher::StringMatcher::kExact:
      out = Fixed(StringMatch::Kind::kExact, in.exact(), absl::StrCat(path, ".exact"), check);
      break;
    case matcher::StringMatcher::kPrefix:
      out = Fixed(StringMatch::Kind::kPrefix, in.prefix(), absl::StrCat(path, ".prefix"), check);
      break;
    case matcher::StringMatcher::kSuffix:
      out = Fixed(StringMatch::Kind::kSuffix, in.suffix(), absl::StrCat(path, ".suffix"), check);
      break;
    case matcher::StringMatcher::kContains:
      out = Fixed(StringMatch::Kind::kContains, in.contains(), absl::StrCat(path, ".contains"),
                  check);
      break;
    case matcher::StringMatcher::kSafeRegex:
      out = Expression(in.safe_regex(), absl::StrCat(path, ".safe_regex"), check);
      if (in.ignore_case()) {
        check->Refuse(absl::StrCat(path, ".ignore_case"),
                      "has no effect on safe_regex: write `(?i)` into the expression");
      }
      break;
    case matcher::StringMatcher::MATCH_PATTERN_NOT_SET:
      check->Refuse(path, "needs exact, prefix, suffix, contains or safe_regex");
      break;
  }
  out.ignore_case = in.ignore_case();
  return out;
}

HeaderMatch TranslateHeaderMatch(const route::HeaderMatcher& in, const std::string& path,
                                 FieldCheck* check) {
  HeaderMatch out;
  out.name = MatchedName(in.name(), absl::StrCat(path, ".name"), check);
  using Kind = StringMatch::Kind;
  const auto fixed = [&](Kind kind, const std::string& text, const char* field) {
    out.match = Fixed(kind, text, absl::StrCat(path, ".", field), check);
  };
  switch (in.header_match_specifier_case()) {
    case route::HeaderMatcher::kExactMatch:
      fixed(Kind::kExact, in.exact_match(), "exact_match");
      break;
    case route::HeaderMatcher::kPrefixMatch:
      fixed(Kind::kPrefix, in.prefix_match(), "prefix_match");
      break;
    case route::HeaderMatcher::kSuffixMatch:
      fixed(Kind::kSuffix, in.suffix_match(), "suffix_match");
      break;
    case route::HeaderMatcher::kContainsMatch:
      fixed(Kind::kContains, in.contains_match(), "contains_match");
      break;
    case route::HeaderMatcher::kSafeRegexMatch:
      out.match = Expression(in.safe_regex_match(), absl::StrCat(path, ".safe_regex_match"), check);
      break;
    case route::HeaderMatcher::kStringMatch:
      out.match =
          TranslateStringMatch(in.string_match(), absl::StrCat(path, ".string_match"), check);
      break;
    case route::HeaderMatcher::kPresentMatch:
      out.match = Present(in.present_match());
      break;
    case route::HeaderMatcher::HEADER_MATCH_SPECIFIER_NOT_SET:
      out.match = Present(true);
      break;
  }
  out.match.invert ^= in.invert_match();
  return out;
}

QueryMatch TranslateQueryMatch(const route::QueryParameterMatcher& in, const std::string& path,
                               FieldCheck* check) {
  QueryMatch out;
  out.name = check->Text(in.name(), absl::StrCat(path, ".name"));
  switch (in.query_parameter_match_specifier_case()) {
    case route::QueryParameterMatcher::kStringMatch:
      out.match =
          TranslateStringMatch(in.string_match(), absl::StrCat(path, ".string_match"), check);
      break;
    case route::QueryParameterMatcher::kPresentMatch:
      out.match = Present(in.present_match());
      break;
    case route::QueryParameterMatcher::QUERY_PARAMETER_MATCH_SPECIFIER_NOT_SET:
      out.match = Present(true);
      break;
  }
  return out;
}

HeaderChanges TranslateHeaderChanges(
    const google::protobuf::RepeatedPtrField<core::HeaderValueOption>& add,
    const google::protobuf::RepeatedPtrField<std::string>& remove, const std::string& path,
    const char* direction, FieldCheck* check) {
  HeaderChanges out;
  const std::string add_path = absl::StrCat(path, ".", direction, "_headers_to_add");
  const std::string remove_path = absl::StrCat(path, ".", direction, "_headers_to_remove");
  if (add.size() > net::kMaxHeaderChanges || remove.size() > net::kMaxHeaderChanges) {
    check->Refuse(add.size() > net::kMaxHeaderChanges ? add_path : remove_path,
                  absl::StrCat("must be at most ", net::kMaxHeaderChanges));
    return out;
  }
  const auto name_of = [&](const std::string& name, const std::string& where) {
    std::string lower = absl::AsciiStrToLower(name);
    if (const char* why = net::WhyUntouchable(lower); why != nullptr) {
      check->Refuse(where, absl::StrCat("`", lower.substr(0, 64), "` ", why));
    } else if (!net::IsHeaderName(lower)) {
      check->Refuse(where, "is no name of a header field");
    }
    return lower;
  };
  for (int i = 0; i < remove.size(); ++i) {
    out.remove.push_back(name_of(remove[i], absl::StrCat(remove_path, "[", i, "]")));
  }
  for (int i = 0; i < add.size(); ++i) {
    const std::string where = absl::StrCat(add_path, "[", i, "]");
    HeaderChanges::Header header;
    header.name = name_of(add[i].header().key(), absl::StrCat(where, ".header.key"));
    header.value = Literal(add[i].header().value(), absl::StrCat(where, ".header.value"), check);
    if (!net::IsHeaderValue(header.value)) {
      check->Refuse(absl::StrCat(where, ".header.value"), "is no value of a header field");
    }
    switch (add[i].append_action()) {
      case core::HeaderValueOption::APPEND_IF_EXISTS_OR_ADD:
        out.add.push_back(std::move(header));
        break;
      case core::HeaderValueOption::OVERWRITE_IF_EXISTS_OR_ADD:
        out.set.push_back(std::move(header));
        break;
      default:
        check->Refuse(absl::StrCat(where, ".append_action"),
                      "must be APPEND_IF_EXISTS_OR_ADD or OVERWRITE_IF_EXISTS_OR_ADD");
    }
  }
  return out;
}

}  // namespace countersign::config
