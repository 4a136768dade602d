// One form for every way of writing a path, before anybody matches or judges it.
#ifndef COUNTERSIGN_PROXY_HTTP_PATH_H_
#define COUNTERSIGN_PROXY_HTTP_PATH_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "proxy/http/header_map.h"

namespace countersign::http {

struct PathRules {
  // What becomes of `%2F` and `%5C`, which servers take for slashes or not.
  enum class EscapedSlashes : uint8_t { kKeep, kReject, kUnescape };
  bool merge_slashes = true;
  EscapedSlashes escaped_slashes = EscapedSlashes::kReject;
};

struct NormalisedPath {
  absl::string_view path;  // with its query
  // Why there is none, in words that live for ever; null if there is one. To be answered with 400.
  const char* refusal = nullptr;
};

// The normal form of `path` (with its query, which stays as it is): RFC 3986, section 6.2.2.
// Escapes of unreserved characters are undone and the others written in upper case, dot segments
// are resolved, `\` is a slash, as it is to every browser. Refused are a NUL (`%00`), an escape
// that is none, and dot segments with parameters (`..;x`), which some servers resolve and others do
// not. Idempotent. The answer is a view of `path` if nothing changes, else it lies in `memory`.
NormalisedPath NormalisePath(absl::string_view path, const PathRules& rules, HeaderMap& memory);

}  // namespace countersign::http

#endif  // COUNTERSIGN_PROXY_HTTP_PATH_H_
