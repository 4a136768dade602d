#include "tests/fuzz/route_table/reference_matcher.h"

#include <string>
#include <tuple>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/string_view.h"

namespace countersign::router {
namespace {

std::string Lower(std::string text) {
  for (char& c : text) {
    if (c >= 'A' && c <= 'Z') c += 'a' - 'A';
  }
  return text;
}

// The authority without `:digits`, unless what is before is an IPv6 address without brackets; and
// without a final dot.
std::string Bare(std::string authority) {
  size_t end = authority.size();
  while (end > 0 && authority[end - 1] >= '0' && authority[end - 1] <= '9') --end;
  if (end > 0 && authority[end - 1] == ':') {
    const std::string before = authority.substr(0, end - 1);
    const bool v6 = before.find(':') != std::string::npos;
    if (!v6 || before.back() == ']') authority = before;
  }
  if (authority.size() > 1 && authority.back() == '.') authority.pop_back();
  return authority;
}

// 3 exact, 2 suffix, 1 prefix, 0 any, -1 not at all; and how long the literal part is.
std::pair<int, size_t> DomainRank(const std::string& domain, const std::string& name) {
  if (domain == "*") return {0, 0};
  if (domain.front() == '*') {
    const std::string suffix = domain.substr(1);
    const bool match = name.size() > suffix.size() &&
                       name.compare(name.size() - suffix.size(), suffix.size(), suffix) == 0;
    return {match ? 2 : -1, suffix.size()};
  }
  if (domain.back() == '*') {
    const std::string prefix = domain.substr(0, domain.size() - 1);
    const bool match = name.size() > prefix.size() && name.compare(0, prefix.size(), prefix) == 0;
    return {match ? 1 : -1, prefix.size()};
  }
  return {domain == name ? 3 : -1, domain.size()};
}

bool Judge(const config::StringMatch& match, std::string text) {
  using Kind = config::StringMatch::Kind;
  std::string wanted = match.text;
  if (match.ignore_case) {
    text = Lower(text);
    wanted = Lower(wanted);
  }
  bool result = false;
  switch (match.kind) {
    case Kind::kExact:
      result = text == wanted;
      break;
    case Kind::kPrefix:
      result = text.substr(0, wanted.size()) == wanted;
      break;
    case Kind::kSuffix:
      result = text.size() >= wanted.size() && text.substr(text.size() - wanted.size()) == wanted;
      break;
    case Kind::kContains:
      result = text.find(wanted) != std::string::npos;
      break;
    case Kind::kRegex:
      result = re2::RE2::FullMatch(text, *match.regex);
      break;
    case Kind::kPresent:
      result = true;
      break;
  }
  return result != match.invert;
}

bool JudgeAbsent(const config::StringMatch& match) {
  return match.kind == config::StringMatch::Kind::kPresent && match.invert;
}

bool PathTakes(const config::PathMatch& match, std::string path) {
  using Kind = config::PathMatch::Kind;
  std::string text = match.text;
  if (path.substr(0, 1) != "/") {
    return (match.kind == Kind::kPrefix || match.kind == Kind::kPathPrefix) &&
           (text == "/" || text.empty());
  }
  if (match.kind == Kind::kRegex) return re2::RE2::FullMatch(path, *match.regex);
  if (match.ignore_case) {
    path = Lower(path);
    text = Lower(text);
  }
  if (match.kind == Kind::kExact) return path == text;
  if (match.kind == Kind::kPrefix) return path.substr(0, text.size()) == text;
  if (!text.empty() && text.back() == '/') text.pop_back();
  return path == text || path.substr(0, text.size() + 1) == text + "/";
}

bool HeaderTakes(const config::HeaderMatch& match, const http::RequestHead& head) {
  std::vector<std::string> values;
  const std::pair<const char*, absl::string_view> pseudo[] = {{":method", head.method},
                                                              {":authority", head.authority},
                                                              {":path", head.path},
                                                              {":scheme", head.scheme}};
  for (const auto& [name, value] : pseudo) {
    if (match.name == name && !value.empty()) values.emplace_back(value);
  }
  for (const http::Field& field : head.headers.fields()) {
    if (field.name == match.name) values.emplace_back(field.value);
  }
  if (values.empty()) return JudgeAbsent(match.match);
  return Judge(match.match, absl::StrJoin(values, match.name == "cookie" ? "; " : ","));
}

bool QueryTakes(const config::QueryMatch& match, const std::string& query) {
  if (!query.empty()) {
    for (const std::string& parameter : std::vector<std::string>(absl::StrSplit(query, '&'))) {
      const std::vector<std::string> parts = absl::StrSplit(parameter, absl::MaxSplits('=', 1));
      if (parts[0] != match.name) continue;
      return Judge(match.match, parts.size() > 1 ? parts[1] : "");
    }
  }
  return JudgeAbsent(match.match);
}

bool RouteTakes(const config::RouteMatch& match, const http::RequestHead& head) {
  std::string path(head.path);
  path = path.substr(0, path.find('#'));
  std::string query;
  const size_t mark = path.find('?');
  if (mark != std::string::npos) {
    query = path.substr(mark + 1);
    path = path.substr(0, mark);
  }
  if (!PathTakes(match.path, path)) return false;
  if (!match.method.empty() && match.method != head.method) return false;
  if (match.grpc) {
    const std::string type(head.headers.Get(http::HeaderId::kContentType));
    const std::string grpc = "application/grpc";
    if (type != grpc && type.substr(0, grpc.size() + 1) != grpc + "+" &&
        type.substr(0, grpc.size() + 1) != grpc + ";") {
      return false;
    }
  }
  for (const config::HeaderMatch& header : match.headers) {
    if (!HeaderTakes(header, head)) return false;
  }
  for (const config::QueryMatch& parameter : match.query) {
    if (!QueryTakes(parameter, query)) return false;
  }
  return true;
}

}  // namespace

RouteChoice ReferenceFind(const config::RouteConfiguration& table, const http::RequestHead& head) {
  RouteChoice choice{.table = &table};
  const std::string full = Lower(std::string(head.authority));
  const std::string bare = Bare(full);
  // Kind, length, and whether it was the authority as it came; the first of equals stays.
  std::tuple<int, size_t, bool> best{-1, 0, false};
  for (const config::VirtualHost& host : table.virtual_hosts) {
    for (const std::string& domain : host.domains) {
      for (const bool as_it_came : {true, false}) {
        const auto [kind, length] = DomainRank(domain, as_it_came ? full : bare);
        if (kind > 0 && full.size() > RouteTable::kMaxAuthorityBytes) continue;
        // What is exact beats by its form first, for it can be one of two lengths alone.
        const size_t weight = kind == 3 ? 0 : length;
        const std::tuple<int, size_t, bool> rank{kind, weight, as_it_came};
        if (kind < 0 || rank <= best) continue;
        best = rank;
        choice.virtual_host = &host;
      }
    }
  }
  if (choice.virtual_host == nullptr) return choice;
  for (const config::Route& route : choice.virtual_host->routes) {
    if (RouteTakes(route.match, head)) {
      choice.route = &route;
      break;
    }
  }
  return choice;
}

}  // namespace countersign::router
