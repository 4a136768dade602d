#include "proxy/router/route_match.h"

#include <string>

#include "absl/strings/match.h"
#include "proxy/http/grpc.h"

namespace countersign::router {
namespace {

bool FullMatch(const re2::RE2& regex, absl::string_view text) {
  // RE2 is linear in the text; no captures, so its automaton is enough.
  return regex.Match(re2::StringPiece(text.data(), text.size()), 0, text.size(),
                     re2::RE2::ANCHOR_BOTH, nullptr, 0);
}

bool ContainsIgnoreCase(absl::string_view text, absl::string_view part) {
  if (part.empty()) return true;
  for (size_t i = 0; i + part.size() <= text.size(); ++i) {
    if (absl::EqualsIgnoreCase(text.substr(i, part.size()), part)) return true;
  }
  return false;
}

bool MatchUninverted(const config::StringMatch& match, absl::string_view text) {
  using Kind = config::StringMatch::Kind;
  switch (match.kind) {
    case Kind::kExact:
      return match.ignore_case ? absl::EqualsIgnoreCase(text, match.text) : text == match.text;
    case Kind::kPrefix:
      return match.ignore_case ? absl::StartsWithIgnoreCase(text, match.text)
                               : absl::StartsWith(text, match.text);
    case Kind::kSuffix:
      return match.ignore_case ? absl::EndsWithIgnoreCase(text, match.text)
                               : absl::EndsWith(text, match.text);
    case Kind::kContains:
      return match.ignore_case ? ContainsIgnoreCase(text, match.text)
                               : absl::StrContains(text, match.text);
    case Kind::kRegex:
      return match.regex != nullptr && FullMatch(*match.regex, text);
    case Kind::kPresent:
      return true;
  }
  return false;
}

// Of a name that occurs more than once; keeps its memory, which the codec's limit on a head bounds.
absl::string_view JoinFields(const http::HeaderMap& headers, absl::string_view name,
                             std::string& out) {
  const absl::string_view between = name == "cookie" ? "; " : ",";
  out.clear();
  bool first = true;
  for (const http::Field& field : headers.fields()) {
    if (field.name != name) continue;
    if (!first) out.append(between.data(), between.size());
    first = false;
    out.append(field.value.data(), field.value.size());
  }
  return out;
}

}  // namespace

Target::Target(absl::string_view path_and_query) {
  // A fragment never travels (RFC 9112, section 3.2); where one came all the same it is no part of
  // either.
  const size_t fragment = path_and_query.find('#');
  if (fragment != absl::string_view::npos) path_and_query = path_and_query.substr(0, fragment);
  const size_t mark = path_and_query.find('?');
  path = path_and_query.substr(0, mark);
  if (mark != absl::string_view::npos) query = path_and_query.substr(mark + 1);
}

bool MatchString(const config::StringMatch& match, absl::string_view text) {
  return MatchUninverted(match, text) != match.invert;
}

bool MatchPath(const config::PathMatch& match, absl::string_view path) {
  using Kind = config::PathMatch::Kind;
  absl::string_view text = match.text;
  if (path.empty() || path.front() != '/') {
    return (match.kind == Kind::kPrefix || match.kind == Kind::kPathPrefix) &&
           (text.empty() || text == "/");
  }
  switch (match.kind) {
    case Kind::kPrefix:
      return match.ignore_case ? absl::StartsWithIgnoreCase(path, text)
                               : absl::StartsWith(path, text);
    case Kind::kPathPrefix:
      // `/a/` means `/a` (Gateway API, HTTPPathMatch).
      if (absl::EndsWith(text, "/")) text.remove_suffix(1);
      if (path.size() > text.size() && path[text.size()] != '/') return false;
      return match.ignore_case ? absl::StartsWithIgnoreCase(path, text)
                               : absl::StartsWith(path, text);
    case Kind::kExact:
      return match.ignore_case ? absl::EqualsIgnoreCase(path, text) : path == text;
    case Kind::kRegex:
      return match.regex != nullptr && FullMatch(*match.regex, path);
  }
  return false;
}

bool MatchHeader(const config::HeaderMatch& match, const http::RequestHead& head) {
  const bool presence = match.match.kind == config::StringMatch::Kind::kPresent;
  absl::string_view value;
  bool found = true;
  if (!match.name.empty() && match.name[0] == ':') {
    if (match.name == ":method") {
      value = head.method;
    } else if (match.name == ":authority") {
      value = head.authority;
    } else if (match.name == ":path") {
      value = head.path;
    } else if (match.name == ":scheme") {
      value = head.scheme;
    } else {
      found = false;
    }
    found = found && !value.empty();
  } else {
    size_t count = 0;
    for (const http::Field& field : head.headers.fields()) {
      if (field.name != match.name) continue;
      if (count++ == 0) value = field.value;
    }
    found = count > 0;
    if (count > 1 && !presence) {
      thread_local std::string joined;
      value = JoinFields(head.headers, match.name, joined);
    }
  }
  if (!found) return presence && match.match.invert;
  return MatchString(match.match, value);
}

absl::string_view FindQueryParameter(absl::string_view query, absl::string_view name) {
  while (!query.empty()) {
    const size_t end = query.find('&');
    const absl::string_view one = query.substr(0, end);
    const size_t equals = one.find('=');
    if (one.substr(0, equals) == name) {
      return equals == absl::string_view::npos ? one.substr(one.size()) : one.substr(equals + 1);
    }
    if (end == absl::string_view::npos) break;
    query.remove_prefix(end + 1);
  }
  return {};
}

bool MatchQuery(const config::QueryMatch& match, absl::string_view query) {
  const absl::string_view value = FindQueryParameter(query, match.name);
  if (value.data() == nullptr) {
    return match.match.kind == config::StringMatch::Kind::kPresent && match.match.invert;
  }
  return MatchString(match.match, value);
}

bool MatchAllButPath(const config::RouteMatch& match, const http::RequestHead& head,
                     absl::string_view query) {
  if (!match.method.empty() && head.method != match.method) return false;
  if (match.grpc && !http::IsGrpc(head.headers)) return false;
  for (const config::HeaderMatch& header : match.headers) {
    if (!MatchHeader(header, head)) return false;
  }
  for (const config::QueryMatch& parameter : match.query) {
    if (!MatchQuery(parameter, query)) return false;
  }
  return true;
}

}  // namespace countersign::router
