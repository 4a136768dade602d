#include "proxy/router/redirect.h"

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "proxy/router/path_rewrite.h"

namespace countersign::router {
namespace {

// Host and port of an authority; the port without its colon, empty if there is none.
void SplitAuthority(absl::string_view authority, absl::string_view* host, absl::string_view* port) {
  *host = authority;
  *port = {};
  const size_t colon = authority.rfind(':');
  if (colon == absl::string_view::npos) return;
  const absl::string_view digits = authority.substr(colon + 1);
  for (const char c : digits) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(c))) return;
  }
  const absl::string_view before = authority.substr(0, colon);
  if (absl::StrContains(before, ':') && !absl::EndsWith(before, "]")) return;
  *host = before;
  *port = digits;
}

absl::string_view DefaultPort(absl::string_view scheme) {
  if (scheme == "http") return "80";
  if (scheme == "https") return "443";
  return {};
}

}  // namespace

void BuildLocation(const config::RedirectAction& action, const config::PathMatch& match,
                   const http::RequestHead& head, std::string& out) {
  out.clear();
  const absl::string_view old_scheme = head.scheme.empty() ? "http" : head.scheme;
  const absl::string_view scheme =
      action.scheme.empty() ? old_scheme : absl::string_view(action.scheme);
  absl::string_view host;
  absl::string_view port;
  SplitAuthority(head.authority, &host, &port);
  if (scheme != old_scheme && port == DefaultPort(old_scheme)) port = {};
  std::string port_text;
  if (action.port != 0) {
    port_text = absl::StrCat(action.port);
    port = port_text;
  }
  if (!action.host.empty()) host = action.host;
  if (port == DefaultPort(scheme)) port = {};

  absl::string_view target = head.path;
  const size_t mark = target.find('?');
  const absl::string_view path = target.substr(0, mark);
  absl::string_view query =
      mark == absl::string_view::npos ? absl::string_view() : target.substr(mark);
  if (action.strip_query) query = {};

  // HTTP/1.0 may come without an authority; then the reference is relative.
  if (!host.empty()) absl::StrAppend(&out, scheme, "://", host);
  if (!host.empty() && !port.empty()) absl::StrAppend(&out, ":", port);
  if (!action.path.empty()) {
    out += action.path;
    if (absl::StrContains(action.path, '?')) query = {};
  } else if (action.has_prefix) {
    const size_t begin = out.size();
    ReplaceMatchedPrefix(match, path, action.prefix, out);
    if (out.size() == begin || out[begin] != '/')
      out.insert(out.begin() + static_cast<std::ptrdiff_t>(begin), '/');
  } else if (path.empty() || path.front() != '/') {
    out += '/';
  } else {
    out.append(path.data(), path.size());
  }
  out.append(query.data(), query.size());
}

}  // namespace countersign::router
