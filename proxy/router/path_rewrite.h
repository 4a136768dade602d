// The path that the endpoint sees.
#ifndef COUNTERSIGN_PROXY_ROUTER_PATH_REWRITE_H_
#define COUNTERSIGN_PROXY_ROUTER_PATH_REWRITE_H_

#include <string>

#include "absl/strings/string_view.h"
#include "proxy/config/route.h"

namespace countersign::router {

// Replacements of one regular expression in one path, and bytes of what comes out: together they
// keep the work linear in the path, whatever the expression and the path are.
inline constexpr int kMaxPathReplacements = 64;
inline constexpr size_t kMaxRewrittenPath = 16 * 1024;

enum class PathRewrite : uint8_t {
  kUnchanged,
  kChanged,
  kLimit,  // one of the limits above
};

// What `path_and_query` becomes under `action`, into `out`. The query stays as it is. Only the path
// that `match` took is replaced in a prefix rewrite; a kPathPrefix is replaced by whole segments
// (`/a` by `/` makes of `/a/b` `/b`). The result begins with a slash.
PathRewrite RewritePath(const config::ForwardAction& action, const config::PathMatch& match,
                        absl::string_view path_and_query, std::string& out);

// The path alone, with the part that `match` took replaced by `replacement`.
void ReplaceMatchedPrefix(const config::PathMatch& match, absl::string_view path,
                          absl::string_view replacement, std::string& out);

}  // namespace countersign::router

#endif  // COUNTERSIGN_PROXY_ROUTER_PATH_REWRITE_H_
