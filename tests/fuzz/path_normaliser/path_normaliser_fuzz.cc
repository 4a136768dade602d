// Any path, under any rules: the normal form has no dot segments, is no longer than what it was
// made of, keeps its query, and is its own normal form.
//
// Input: byte 0 gives the rules, the rest is the path.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_split.h"
#include "proxy/http/path.h"

namespace {

using countersign::http::HeaderMap;
using countersign::http::NormalisedPath;
using countersign::http::NormalisePath;
using countersign::http::PathRules;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  if (size == 0) return 0;
  PathRules rules;
  rules.merge_slashes = (data[0] & 1) != 0;
  rules.escaped_slashes = static_cast<PathRules::EscapedSlashes>(data[0] / 2 % 3);
  const std::string path(reinterpret_cast<const char*>(data) + 1, size - 1);
  HeaderMap memory;
  const NormalisedPath result = NormalisePath(path, rules, memory);
  if (result.refusal != nullptr) return 0;
  const std::string normal(result.path);
  if (normal.size() > path.size()) std::abort();
  const size_t question = path.find('?');
  const std::string query = question == std::string::npos ? "" : path.substr(question);
  if (!absl::EndsWith(normal, query)) std::abort();
  HeaderMap more;
  const NormalisedPath again = NormalisePath(normal, rules, more);
  if (again.refusal != nullptr || again.path != normal) std::abort();
  if (normal.empty() || normal[0] != '/') {
    if (normal != path) std::abort();
    return 0;
  }
  const std::string bare = normal.substr(0, normal.size() - query.size());
  if (absl::StrContains(bare, '\\') || absl::StrContains(bare, "%2E")) std::abort();
  if (rules.merge_slashes && absl::StrContains(bare, "//")) std::abort();
  for (const absl::string_view segment : absl::StrSplit(bare, '/')) {
    if (segment == "." || segment == "..") std::abort();
  }
  return 0;
}
