#include "api/net/http_field.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"

namespace countersign::net {
namespace {

constexpr size_t kMaxNameBytes = 256;
constexpr size_t kMaxValueBytes = 8192;
constexpr absl::string_view kTokenSymbols = "!#$%&'*+-.^_`|~";

}  // namespace

bool IsHeaderName(absl::string_view name) {
  return !name.empty() && name.size() <= kMaxNameBytes &&
         std::all_of(name.begin(), name.end(), [](char c) {
           return absl::ascii_isalnum(c) || kTokenSymbols.find(c) != absl::string_view::npos;
         });
}

bool IsHeaderValue(absl::string_view value) {
  if (value.size() > kMaxValueBytes || !std::all_of(value.begin(), value.end(), [](char c) {
        return (c >= 0x20 && c < 0x7f) || c == '\t';
      })) {
    return false;
  }
  const auto blank = [](char c) { return c == ' ' || c == '\t'; };
  return value.empty() || (!blank(value.front()) && !blank(value.back()));
}

const char* WhyUntouchable(absl::string_view name) {
  if (absl::StartsWith(name, ":")) {
    return "is a pseudo-header; a route rewrites path and host by other fields";
  }
  if (absl::EqualsIgnoreCase(name, "host")) {
    return "names the authority; a route rewrites it by another field";
  }
  for (absl::string_view framing :
       {"connection", "content-length", "keep-alive", "proxy-connection", "te", "trailer",
        "transfer-encoding", "upgrade"}) {
    if (absl::EqualsIgnoreCase(name, framing)) {
      return "frames the message, which is the proxies' own";
    }
  }
  if (absl::EqualsIgnoreCase(name, "x-forwarded-client-cert") ||
      absl::EqualsIgnoreCase(name, "client-cert") ||
      absl::EqualsIgnoreCase(name, "client-cert-chain")) {
    return "says who the caller is, which only the verifying proxy may";
  }
  if (absl::StartsWithIgnoreCase(name, "x-countersign-")) {
    return "is between the proxies";
  }
  return nullptr;
}

bool IsAbsolutePath(absl::string_view path) {
  return absl::StartsWith(path, "/") && path.size() <= kMaxValueBytes &&
         std::all_of(path.begin(), path.end(),
                     [](char c) { return c > 0x20 && c < 0x7f && c != '?' && c != '#'; });
}

}  // namespace countersign::net
