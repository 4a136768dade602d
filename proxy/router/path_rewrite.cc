#include "proxy/router/path_rewrite.h"

#include "absl/strings/match.h"

namespace countersign::router {
namespace {

void Append(absl::string_view text, std::string& out) { out.append(text.data(), text.size()); }

// Every match from left to right, as RE2::GlobalReplace does it, but bounded.
PathRewrite ReplaceRegex(const re2::RE2& regex, absl::string_view substitution,
                         absl::string_view path, std::string& out) {
  constexpr int kMaxGroups = 10;  // \0 to \9
  re2::StringPiece groups[kMaxGroups];
  const int count =
      1 + re2::RE2::MaxSubmatch(re2::StringPiece(substitution.data(), substitution.size()));
  if (count > kMaxGroups) return PathRewrite::kUnchanged;
  const re2::StringPiece text(path.data(), path.size());
  const re2::StringPiece rewrite(substitution.data(), substitution.size());
  size_t at = 0;
  size_t last_end = absl::string_view::npos;  // of the match before
  int replacements = 0;
  while (at <= path.size() &&
         regex.Match(text, at, path.size(), re2::RE2::UNANCHORED, groups, count)) {
    const size_t begin = static_cast<size_t>(groups[0].data() - path.data());
    const size_t end = begin + groups[0].size();
    Append(path.substr(at, begin - at), out);
    if (begin == end && begin == last_end) {
      // An empty match at the end of another one is none.
      if (begin < path.size()) out.push_back(path[begin]);
      at = begin + 1;
      continue;
    }
    if (++replacements > kMaxPathReplacements) return PathRewrite::kLimit;
    if (!regex.Rewrite(&out, rewrite, groups, count)) return PathRewrite::kUnchanged;
    if (out.size() > kMaxRewrittenPath) return PathRewrite::kLimit;
    at = last_end = end;
    if (begin == end) {
      if (begin < path.size()) out.push_back(path[begin]);
      at = begin + 1;
    }
  }
  if (replacements == 0) return PathRewrite::kUnchanged;
  if (at < path.size()) Append(path.substr(at), out);
  return PathRewrite::kChanged;
}

}  // namespace

void ReplaceMatchedPrefix(const config::PathMatch& match, absl::string_view path,
                          absl::string_view replacement, std::string& out) {
  using Kind = config::PathMatch::Kind;
  absl::string_view matched = match.text;
  absl::string_view rest;
  switch (match.kind) {
    case Kind::kPrefix:
      rest = path.substr(std::min(matched.size(), path.size()));
      Append(replacement, out);
      break;
    case Kind::kPathPrefix:
      if (absl::EndsWith(matched, "/")) matched.remove_suffix(1);
      rest = path.substr(std::min(matched.size(), path.size()));
      if (absl::EndsWith(replacement, "/")) replacement.remove_suffix(1);
      Append(replacement, out);
      break;
    case Kind::kExact:
    case Kind::kRegex:
      Append(replacement, out);
      break;
  }
  Append(rest, out);
}

PathRewrite RewritePath(const config::ForwardAction& action, const config::PathMatch& match,
                        absl::string_view path_and_query, std::string& out) {
  out.clear();
  const bool rewrites =
      action.has_prefix_rewrite || !action.path_rewrite.empty() || action.regex_rewrite != nullptr;
  // `OPTIONS *` and CONNECT have no path.
  if (!rewrites || path_and_query.empty() || path_and_query.front() != '/') {
    return PathRewrite::kUnchanged;
  }
  const size_t mark = path_and_query.find('?');
  const absl::string_view path = path_and_query.substr(0, mark);
  if (action.regex_rewrite != nullptr) {
    const PathRewrite rewrite = ReplaceRegex(*action.regex_rewrite, action.substitution, path, out);
    if (rewrite != PathRewrite::kChanged) return rewrite;
  } else if (!action.path_rewrite.empty()) {
    out = action.path_rewrite;
  } else {
    ReplaceMatchedPrefix(match, path, action.prefix_rewrite, out);
  }
  if (out.empty() || out.front() != '/') out.insert(out.begin(), '/');
  if (mark != absl::string_view::npos) Append(path_and_query.substr(mark), out);
  return out.size() > kMaxRewrittenPath + (path_and_query.size() - path.size())
             ? PathRewrite::kLimit
             : PathRewrite::kChanged;
}

}  // namespace countersign::router
