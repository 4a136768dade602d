#include "proxy/config/route_translation.h"

#include <algorithm>
#include <utility>

#include "absl/container/flat_hash_set.h"
#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "api/net/http_field.h"
#include "api/net/http_limits.h"
#include "proxy/config/field_check.h"
#include "proxy/config/matcher_translation.h"
#include "proxy/config/route_action_translation.h"

namespace countersign::config {
namespace {

namespace route = ::envoy::config::route::v3;

constexpr int kMaxDomains = 1000;

PathMatch TranslatePath(const route::RouteMatch& in, const std::string& path, FieldCheck* check) {
  PathMatch out;
  out.ignore_case = in.has_case_sensitive() && !in.case_sensitive().value();
  const auto fixed = [&](PathMatch::Kind kind, const std::string& text, const char* field) {
    out.kind = kind;
    out.text = text;
    if (!net::IsAbsolutePath(text)) {
      check->Refuse(absl::StrCat(path, ".", field),
                    "must begin with `/` and have neither `?` nor `#` nor spaces");
    }
  };
  switch (in.path_specifier_case()) {
    case route::RouteMatch::kPrefix:
      // An empty one matches everything, as `/` does: every path begins with it, but for that of
      // `OPTIONS *`.
      fixed(PathMatch::Kind::kPrefix, in.prefix().empty() ? "/" : in.prefix(), "prefix");
      break;
    case route::RouteMatch::kPath:
      fixed(PathMatch::Kind::kExact, in.path(), "path");
      break;
    case route::RouteMatch::kPathSeparatedPrefix:
      fixed(PathMatch::Kind::kPathPrefix, in.path_separated_prefix(), "path_separated_prefix");
      if (absl::EndsWith(out.text, "/")) {
        check->Refuse(absl::StrCat(path, ".path_separated_prefix"), "must not end with `/`");
      }
      break;
    case route::RouteMatch::kSafeRegex:
      out.kind = PathMatch::Kind::kRegex;
      out.text = in.safe_regex().regex();
      out.regex = check->Regex(in.safe_regex().regex(), absl::StrCat(path, ".safe_regex.regex"));
      if (out.ignore_case) {
        check->Refuse(absl::StrCat(path, ".case_sensitive"),
                      "has no effect on safe_regex: write `(?i)` into the expression");
      }
      break;
    case route::RouteMatch::PATH_SPECIFIER_NOT_SET:
      check->Refuse(path, "needs prefix, path, path_separated_prefix or safe_regex");
      break;
  }
  return out;
}

RouteMatch TranslateMatch(const route::RouteMatch& in, const std::string& path, FieldCheck* check) {
  RouteMatch out;
  out.path = TranslatePath(in, path, check);
  out.grpc = in.has_grpc();
  if (in.headers_size() > net::kMaxMatchers || in.query_parameters_size() > net::kMaxMatchers) {
    check->Refuse(path, absl::StrCat("has more than ", net::kMaxMatchers, " matchers"));
    return out;
  }
  for (int i = 0; i < in.headers_size(); ++i) {
    HeaderMatch header =
        TranslateHeaderMatch(in.headers(i), absl::StrCat(path, ".headers[", i, "]"), check);
    // The usual way to ask for a method has a place of its own.
    const StringMatch& match = header.match;
    if (header.name == ":method" && out.method.empty() && !match.text.empty() &&
        match.kind == StringMatch::Kind::kExact && !match.invert && !match.ignore_case) {
      out.method = match.text;
    } else {
      out.headers.push_back(std::move(header));
    }
  }
  for (int i = 0; i < in.query_parameters_size(); ++i) {
    out.query.push_back(TranslateQueryMatch(
        in.query_parameters(i), absl::StrCat(path, ".query_parameters[", i, "]"), check));
  }
  return out;
}

Route TranslateRoute(const route::Route& in, const std::string& path,
                     const RetryPolicy* inherited_retry, FieldCheck* check) {
  Route out;
  out.name = in.name();
  out.match = TranslateMatch(in.match(), absl::StrCat(path, ".match"), check);
  switch (in.action_case()) {
    case route::Route::kRoute:
      out.action = Route::Action::kForward;
      out.forward =
          TranslateForward(in.route(), inherited_retry, absl::StrCat(path, ".route"), check);
      break;
    case route::Route::kRedirect:
      out.action = Route::Action::kRedirect;
      out.redirect = TranslateRedirect(in.redirect(), absl::StrCat(path, ".redirect"), check);
      break;
    case route::Route::kDirectResponse:
      out.action = Route::Action::kDirectResponse;
      out.direct = TranslateDirectResponse(in.direct_response(),
                                           absl::StrCat(path, ".direct_response"), check);
      break;
    case route::Route::ACTION_NOT_SET:
      check->Refuse(path, "needs route, redirect or direct_response");
      break;
  }
  // What follows the matched prefix is known only where a prefix was matched.
  const bool by_prefix = out.match.path.kind == PathMatch::Kind::kPrefix ||
                         out.match.path.kind == PathMatch::Kind::kPathPrefix;
  if ((out.forward.has_prefix_rewrite || out.redirect.has_prefix) && !by_prefix) {
    if (out.action == Route::Action::kForward && out.match.path.kind == PathMatch::Kind::kExact) {
      // Envoy: the match is the whole path, and so is what takes its place.
      out.forward.path_rewrite = std::move(out.forward.prefix_rewrite);
      out.forward.prefix_rewrite.clear();
      out.forward.has_prefix_rewrite = false;
    } else {
      check->Refuse(absl::StrCat(path, ".prefix_rewrite"), "needs a match by prefix");
    }
  }
  out.request_headers = TranslateHeaderChanges(
      in.request_headers_to_add(), in.request_headers_to_remove(), path, "request", check);
  out.response_headers = TranslateHeaderChanges(
      in.response_headers_to_add(), in.response_headers_to_remove(), path, "response", check);
  out.fault = TranslateFault(in.typed_per_filter_config(),
                             absl::StrCat(path, ".typed_per_filter_config"), check);
  return out;
}

// `a.b`, `*.b`, `a.*`, `*`; a port may stand behind it.
bool IsDomain(absl::string_view domain) {
  if (domain == "*") {
    return true;
  }
  if (domain.empty() || domain.size() > 261) {
    return false;
  }
  const size_t star = domain.find('*');
  if (star != absl::string_view::npos) {
    if (domain.rfind('*') != star || (star != 0 && star + 1 != domain.size())) {
      return false;
    }
  }
  return std::all_of(domain.begin(), domain.end(), [](char c) {
    return absl::ascii_islower(c) || absl::ascii_isdigit(c) || c == '.' || c == '-' || c == '_' ||
           c == '*' || c == ':' || c == '[' || c == ']';
  });
}

}  // namespace

absl::StatusOr<std::shared_ptr<const RouteConfiguration>> TranslateRoutes(
    const route::RouteConfiguration& in, const std::string& path) {
  FieldCheck check;
  auto out = std::make_shared<RouteConfiguration>();
  out->name = in.name();
  if (in.validate_clusters().value()) {
    check.Refuse(absl::StrCat(path, ".validate_clusters"),
                 "must not be true: a cluster may arrive after the route that names it");
  }
  out->request_headers = TranslateHeaderChanges(
      in.request_headers_to_add(), in.request_headers_to_remove(), path, "request", &check);
  out->response_headers = TranslateHeaderChanges(
      in.response_headers_to_add(), in.response_headers_to_remove(), path, "response", &check);
  if (in.virtual_hosts_size() > net::kMaxVirtualHosts) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ".virtual_hosts: must be at most ", net::kMaxVirtualHosts));
  }
  int routes = 0;
  absl::flat_hash_set<std::string> domains;
  for (int i = 0; i < in.virtual_hosts_size() && check.ok(); ++i) {
    const route::VirtualHost& host = in.virtual_hosts(i);
    const std::string host_path = absl::StrCat(path, ".virtual_hosts[", i, "]");
    VirtualHost& to = out->virtual_hosts.emplace_back();
    to.name = host.name();
    if (host.domains().empty() || host.domains_size() > kMaxDomains) {
      check.Refuse(absl::StrCat(host_path, ".domains"), absl::StrCat("must be 1 to ", kMaxDomains));
    }
    for (int j = 0; j < host.domains_size() && check.ok(); ++j) {
      const std::string where = absl::StrCat(host_path, ".domains[", j, "]");
      std::string domain = absl::AsciiStrToLower(host.domains(j));
      if (!IsDomain(domain)) {
        check.Refuse(where, "must be a host name, `*.suffix`, `prefix.*` or `*`");
      } else if (!domains.insert(domain).second) {
        check.Refuse(where, absl::StrCat("`", domain, "` stands twice"));
      }
      to.domains.push_back(std::move(domain));
    }
    RetryPolicy inherited;
    if (host.has_retry_policy()) {
      inherited =
          TranslateRetry(host.retry_policy(), absl::StrCat(host_path, ".retry_policy"), &check);
    }
    routes += host.routes_size();
    if (routes > net::kMaxRoutes) {
      check.Refuse(absl::StrCat(path, ".virtual_hosts"),
                   absl::StrCat("have more than ", net::kMaxRoutes, " routes"));
    }
    for (int j = 0; j < host.routes_size() && check.ok(); ++j) {
      to.routes.push_back(TranslateRoute(host.routes(j),
                                         absl::StrCat(host_path, ".routes[", j, "]"),
                                         host.has_retry_policy() ? &inherited : nullptr, &check));
    }
    to.request_headers =
        TranslateHeaderChanges(host.request_headers_to_add(), host.request_headers_to_remove(),
                               host_path, "request", &check);
    to.response_headers =
        TranslateHeaderChanges(host.response_headers_to_add(), host.response_headers_to_remove(),
                               host_path, "response", &check);
  }
  if (!check.ok()) {
    return check.status();
  }
  return std::shared_ptr<const RouteConfiguration>(std::move(out));
}

std::vector<std::string> ClustersOf(const RouteConfiguration& routes) {
  std::vector<std::string> names;
  for (const VirtualHost& host : routes.virtual_hosts) {
    for (const Route& route : host.routes) {
      if (route.action != Route::Action::kForward) {
        continue;
      }
      for (const WeightedCluster& cluster : route.forward.clusters) {
        names.push_back(cluster.cluster);
      }
      for (const MirrorPolicy& mirror : route.forward.mirrors) {
        names.push_back(mirror.cluster);
      }
    }
  }
  std::sort(names.begin(), names.end());
  names.erase(std::unique(names.begin(), names.end()), names.end());
  return names;
}

}  // namespace countersign::config
