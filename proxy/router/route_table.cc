#include "proxy/router/route_table.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "proxy/router/route_match.h"

namespace countersign::router {
namespace {

// Without its port, if it has one. `[::1]:80` is `[::1]`; `::1` has none.
absl::string_view WithoutPort(absl::string_view authority) {
  const size_t colon = authority.rfind(':');
  if (colon == absl::string_view::npos) return authority;
  for (const char c : authority.substr(colon + 1)) {
    if (!absl::ascii_isdigit(static_cast<unsigned char>(c))) return authority;
  }
  const absl::string_view host = authority.substr(0, colon);
  if (absl::StrContains(host, ':') && !absl::EndsWith(host, "]")) return authority;
  return host;
}

}  // namespace

void RouteTable::AddWildcard(absl::string_view text, uint32_t host, std::vector<Wildcards>& to) {
  auto at = std::find_if(to.begin(), to.end(), [&text](const Wildcards& wildcards) {
    return wildcards.length <= text.size();
  });
  if (at == to.end() || at->length != text.size()) at = to.insert(at, {text.size(), {}});
  at->hosts.emplace(text, host);
}

RouteTable::RouteTable(std::shared_ptr<const config::RouteConfiguration> routes)
    : routes_(std::move(routes)) {
  indexes_.resize(routes_->virtual_hosts.size());
  for (uint32_t i = 0; i < routes_->virtual_hosts.size(); ++i) {
    const config::VirtualHost& host = routes_->virtual_hosts[i];
    for (const std::string& name : host.domains) {
      const absl::string_view domain = name;
      if (domain == "*") {
        if (any_ == kNone) any_ = i;
      } else if (absl::StartsWith(domain, "*")) {
        AddWildcard(domain.substr(1), i, suffixes_);
      } else if (absl::EndsWith(domain, "*")) {
        AddWildcard(domain.substr(0, domain.size() - 1), i, prefixes_);
      } else {
        exact_.emplace(domain, i);
      }
    }
    if (host.routes.size() < kIndexedRoutes) continue;
    auto index = std::make_unique<RouteIndex>();
    index->next.resize(host.routes.size(), kNone);
    for (uint32_t r = static_cast<uint32_t>(host.routes.size()); r-- > 0;) {
      const config::PathMatch& path = host.routes[r].match.path;
      if (path.kind == config::PathMatch::Kind::kExact && !path.ignore_case) {
        const auto [first, added] = index->exact.try_emplace(path.text, r);
        if (!added) {
          index->next[r] = first->second;
          first->second = r;
        }
      } else {
        index->others.push_back(r);
      }
    }
    std::reverse(index->others.begin(), index->others.end());
    if (!index->exact.empty()) indexes_[i] = std::move(index);
  }
}

uint32_t RouteTable::FindVirtualHost(absl::string_view authority) const {
  if (exact_.empty() && suffixes_.empty() && prefixes_.empty()) return any_;
  if (authority.size() > kMaxAuthorityBytes) return any_;
  char lower[kMaxAuthorityBytes];
  for (size_t i = 0; i < authority.size(); ++i) {
    lower[i] = absl::ascii_tolower(static_cast<unsigned char>(authority[i]));
  }
  const absl::string_view full(lower, authority.size());
  absl::string_view bare = WithoutPort(full);
  if (bare.size() > 1 && bare.back() == '.') bare.remove_suffix(1);
  const absl::string_view forms[2] = {full, bare};
  const int count = bare.size() == full.size() ? 1 : 2;

  for (int form = 0; form < count; ++form) {
    const auto found = exact_.find(forms[form]);
    if (found != exact_.end()) return found->second;
  }
  // The star stands for one byte at least.
  for (const Wildcards& wildcards : suffixes_) {
    for (int form = 0; form < count; ++form) {
      const absl::string_view name = forms[form];
      if (name.size() <= wildcards.length) continue;
      const auto found = wildcards.hosts.find(name.substr(name.size() - wildcards.length));
      if (found != wildcards.hosts.end()) return found->second;
    }
  }
  for (const Wildcards& wildcards : prefixes_) {
    if (full.size() <= wildcards.length) continue;
    const auto found = wildcards.hosts.find(full.substr(0, wildcards.length));
    if (found != wildcards.hosts.end()) return found->second;
  }
  return any_;
}

const config::Route* RouteTable::FindInIndex(const config::VirtualHost& host,
                                             const RouteIndex& index, const http::RequestHead& head,
                                             absl::string_view path, absl::string_view query) {
  const auto found = index.exact.find(path);
  uint32_t exact = found == index.exact.end() ? kNone : found->second;
  size_t other = 0;
  // Both are in the routes' order; merged they are as well.
  while (exact != kNone || other < index.others.size()) {
    if (exact != kNone && (other == index.others.size() || exact < index.others[other])) {
      const config::Route& route = host.routes[exact];
      if (MatchAllButPath(route.match, head, query)) return &route;
      exact = index.next[exact];
    } else {
      const config::Route& route = host.routes[index.others[other++]];
      if (MatchPath(route.match.path, path) && MatchAllButPath(route.match, head, query)) {
        return &route;
      }
    }
  }
  return nullptr;
}

RouteChoice RouteTable::Find(const http::RequestHead& head) const {
  RouteChoice choice{.table = routes_.get()};
  const uint32_t at = FindVirtualHost(head.authority);
  if (at == kNone) return choice;
  const config::VirtualHost& host = routes_->virtual_hosts[at];
  choice.virtual_host = &host;
  const Target target(head.path);
  if (indexes_[at] != nullptr && !target.path.empty() && target.path.front() == '/') {
    choice.route = FindInIndex(host, *indexes_[at], head, target.path, target.query);
    return choice;
  }
  for (const config::Route& route : host.routes) {
    if (MatchPath(route.match.path, target.path) &&
        MatchAllButPath(route.match, head, target.query)) {
      choice.route = &route;
      break;
    }
  }
  return choice;
}

}  // namespace countersign::router
