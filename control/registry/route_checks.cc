#include "control/registry/route_checks.h"

#include <set>
#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "api/net/http_field.h"
#include "api/net/http_limits.h"

namespace countersign::control::registry {
namespace {

namespace api = mesh::v1alpha1;
using Filter = api::HTTPRouteFilter;

// The Gateway API's own bounds, where it has one.
constexpr int kMaxParents = 32;
constexpr int kMaxHostnames = 16;
constexpr int kMaxRules = 64;
constexpr int kMaxMatches = 64;
constexpr int kMaxFilters = 16;
constexpr int kMaxGrants = 16;
constexpr uint32_t kMaxWeight = 1'000'000;

class RouteChecker {
 public:
  explicit RouteChecker(FieldChecker* check) : check_(*check) {}

  void Parents(const google::protobuf::RepeatedPtrField<api::ParentReference>& parents) {
    if (parents.empty()) {
      check_.Fail("spec.parentRefs", "needs the Service that the route is for");
    }
    Bound(parents.size(), "spec.parentRefs", kMaxParents);
    for (int i = 0; i < parents.size(); ++i) {
      const std::string field = absl::StrCat("spec.parentRefs[", i, "]");
      if (parents[i].kind() != "Service") {
        check_.Fail(absl::StrCat(field, ".kind"),
                    "must be Service: no Gateways are served, so the route would never apply");
      }
      Reference(parents[i], field);
      if (parents[i].port() != 0) {
        check_.Port(parents[i].port(), absl::StrCat(field, ".port"));
      }
    }
  }

  void Hostnames(const google::protobuf::RepeatedPtrField<std::string>& hostnames) {
    Bound(hostnames.size(), "spec.hostnames", kMaxHostnames);
    std::set<std::string> seen;
    for (int i = 0; i < hostnames.size(); ++i) {
      const std::string field = absl::StrCat("spec.hostnames[", i, "]");
      check_.Hostname(hostnames[i], field);
      if (!seen.insert(hostnames[i]).second) {
        check_.Fail(field, "stands twice");
      }
    }
  }

  bool Bound(int size, const std::string& field, int max) {
    if (size > max) {
      check_.Fail(field, absl::StrCat("has ", size, " entries; at most ", max, " are allowed"));
    }
    return size <= max;
  }

  void Headers(const google::protobuf::RepeatedPtrField<api::RouteHeaderMatch>& headers,
               const std::string& list) {
    Bound(headers.size(), list, net::kMaxMatchers);
    for (int i = 0; i < headers.size(); ++i) {
      const std::string field = absl::StrCat(list, "[", i, "]");
      check_.HeaderName(headers[i].name(), absl::StrCat(field, ".name"));
      if (headers[i].type() == api::RouteHeaderMatch::RegularExpression) {
        check_.Regex(headers[i].value(), absl::StrCat(field, ".value"));
      } else {
        check_.HeaderValue(headers[i].value(), absl::StrCat(field, ".value"));
      }
    }
  }

  // `grpc`: of a GRPCRoute, which knows fewer. `by_prefix`: every match of the rule is a
  // PathPrefix.
  void Filters(const google::protobuf::RepeatedPtrField<Filter>& filters, const std::string& list,
               bool grpc, bool by_prefix) {
    Bound(filters.size(), list, kMaxFilters);
    std::set<int> seen;
    int mirrors = 0;
    for (int i = 0; i < filters.size(); ++i) {
      const Filter& filter = filters[i];
      const std::string field = absl::StrCat(list, "[", i, "]");
      mirrors += filter.type() == Filter::RequestMirror;
      if (filter.type() != Filter::RequestMirror && !seen.insert(filter.type()).second) {
        check_.Fail(absl::StrCat(field, ".type"), "stands twice in the rule");
      }
      if (grpc &&
          (filter.type() == Filter::RequestRedirect || filter.type() == Filter::URLRewrite)) {
        check_.Fail(absl::StrCat(field, ".type"), "is no filter of a GRPCRoute");
      }
      OneFilter(filter, field, by_prefix);
    }
    Bound(mirrors, list, net::kMaxMirrors);
    if (seen.count(Filter::RequestRedirect) > 0 && seen.count(Filter::URLRewrite) > 0) {
      check_.Fail(list, "has RequestRedirect and URLRewrite: a request is either sent on or not");
    }
  }

  void Backends(const google::protobuf::RepeatedPtrField<api::HTTPBackendRef>& backends,
                const std::string& list) {
    Bound(backends.size(), list, net::kMaxRouteClusters);
    for (int i = 0; i < backends.size(); ++i) {
      const std::string field = absl::StrCat(list, "[", i, "]");
      Backend(backends[i], field);
      check_.Range(backends[i].weight(), absl::StrCat(field, ".weight"), 0, kMaxWeight);
      for (int j = 0; j < backends[i].filters_size(); ++j) {
        const Filter& filter = backends[i].filters(j);
        const std::string where = absl::StrCat(field, ".filters[", j, "]");
        if (filter.type() != Filter::RequestHeaderModifier &&
            filter.type() != Filter::ResponseHeaderModifier) {
          check_.Fail(absl::StrCat(where, ".type"),
                      "must be RequestHeaderModifier or ResponseHeaderModifier: others stand in "
                      "the rule's filters");
        } else {
          OneFilter(filter, where, false);
        }
      }
    }
  }

 private:
  template <typename Ref>
  void Reference(const Ref& ref, const std::string& field) {
    if (!ref.group().empty() && ref.group() != "core") {
      check_.Fail(absl::StrCat(field, ".group"), "must be empty: Services are in the core group");
    }
    check_.DnsName(ref.name(), absl::StrCat(field, ".name"));
    if (!ref.namespace_().empty()) {
      check_.DnsName(ref.namespace_(), absl::StrCat(field, ".namespace"));
    }
  }

  template <typename Ref>
  void Backend(const Ref& ref, const std::string& field) {
    if (!ref.kind().empty() && ref.kind() != "Service") {
      check_.Fail(absl::StrCat(field, ".kind"), "must be Service");
    }
    Reference(ref, field);
    check_.Port(ref.port(), absl::StrCat(field, ".port"));
  }

  void OneFilter(const Filter& filter, const std::string& field, bool by_prefix) {
    struct Part {
      Filter::Type type;
      bool present;
      const char* name;
    };
    const Part parts[] = {
        {Filter::RequestHeaderModifier, filter.has_request_header_modifier(),
         "requestHeaderModifier"},
        {Filter::ResponseHeaderModifier, filter.has_response_header_modifier(),
         "responseHeaderModifier"},
        {Filter::RequestMirror, filter.has_request_mirror(), "requestMirror"},
        {Filter::RequestRedirect, filter.has_request_redirect(), "requestRedirect"},
        {Filter::URLRewrite, filter.has_url_rewrite(), "urlRewrite"},
    };
    if (filter.type() == Filter::Unset) {
      check_.Fail(absl::StrCat(field, ".type"), "is required");
    }
    for (const Part& part : parts) {
      if (part.present != (part.type == filter.type())) {
        check_.Fail(absl::StrCat(field, ".", part.name),
                    part.present ? "does not belong to this type" : "is required by the type");
      }
    }
    switch (filter.type()) {
      case Filter::RequestHeaderModifier:
        Changes(filter.request_header_modifier(), absl::StrCat(field, ".requestHeaderModifier"));
        break;
      case Filter::ResponseHeaderModifier:
        Changes(filter.response_header_modifier(), absl::StrCat(field, ".responseHeaderModifier"));
        break;
      case Filter::RequestMirror:
        Mirror(filter.request_mirror(), absl::StrCat(field, ".requestMirror"));
        break;
      case Filter::RequestRedirect:
        Redirect(filter.request_redirect(), absl::StrCat(field, ".requestRedirect"), by_prefix);
        break;
      case Filter::URLRewrite:
        if (!filter.url_rewrite().hostname().empty()) {
          check_.DnsName(filter.url_rewrite().hostname(),
                         absl::StrCat(field, ".urlRewrite.hostname"));
        }
        PathModifier(filter.url_rewrite().has_path(), filter.url_rewrite().path(),
                     absl::StrCat(field, ".urlRewrite.path"), by_prefix);
        break;
      default:
        break;
    }
  }

  void Changes(const api::HTTPHeaderFilter& changes, const std::string& field) {
    const auto headers = [&](const auto& list, const char* name) {
      const std::string where = absl::StrCat(field, ".", name);
      Bound(list.size(), where, net::kMaxHeaderChanges / 2);
      for (int i = 0; i < list.size(); ++i) {
        check_.ChangedHeader(list[i].name(), absl::StrCat(where, "[", i, "].name"));
        check_.HeaderValue(list[i].value(), absl::StrCat(where, "[", i, "].value"));
      }
    };
    headers(changes.set(), "set");
    headers(changes.add(), "add");
    Bound(changes.remove_size(), absl::StrCat(field, ".remove"), net::kMaxHeaderChanges);
    for (int i = 0; i < changes.remove_size(); ++i) {
      check_.ChangedHeader(changes.remove(i), absl::StrCat(field, ".remove[", i, "]"));
    }
  }

  void Mirror(const api::HTTPRequestMirrorFilter& mirror, const std::string& field) {
    Backend(mirror.backend_ref(), absl::StrCat(field, ".backendRef"));
    if (mirror.has_percent() && mirror.has_fraction()) {
      check_.Fail(absl::StrCat(field, ".fraction"), "cannot stand beside percent");
    }
    check_.Range(mirror.percent(), absl::StrCat(field, ".percent"), 0, 100);
    if (mirror.has_fraction()) {
      const uint32_t denominator =
          mirror.fraction().denominator() == 0 ? 100 : mirror.fraction().denominator();
      check_.Range(mirror.fraction().numerator(), absl::StrCat(field, ".fraction.numerator"), 0,
                   denominator);
    }
  }

  void Redirect(const api::HTTPRequestRedirectFilter& redirect, const std::string& field,
                bool by_prefix) {
    if (!redirect.scheme().empty() && redirect.scheme() != "http" && redirect.scheme() != "https") {
      check_.Fail(absl::StrCat(field, ".scheme"), "must be http or https");
    }
    if (!redirect.hostname().empty()) {
      check_.DnsName(redirect.hostname(), absl::StrCat(field, ".hostname"));
    }
    if (redirect.port() != 0) {
      check_.Port(redirect.port(), absl::StrCat(field, ".port"));
    }
    switch (redirect.status_code()) {
      case 0:
      case 301:
      case 302:
      case 303:
      case 307:
      case 308:
        break;
      default:
        check_.Fail(absl::StrCat(field, ".statusCode"), "must be 301, 302, 303, 307 or 308");
    }
    PathModifier(redirect.has_path(), redirect.path(), absl::StrCat(field, ".path"), by_prefix);
  }

  void PathModifier(bool present, const api::HTTPPathModifier& path, const std::string& field,
                    bool by_prefix) {
    if (!present) {
      return;
    }
    switch (path.type()) {
      case api::HTTPPathModifier::ReplaceFullPath:
        check_.Path(path.replace_full_path(), absl::StrCat(field, ".replaceFullPath"));
        break;
      case api::HTTPPathModifier::ReplacePrefixMatch:
        if (!by_prefix) {
          check_.Fail(absl::StrCat(field, ".type"),
                      "ReplacePrefixMatch needs matches by PathPrefix alone: there is no prefix to "
                      "replace");
        }
        if (!path.replace_prefix_match().empty()) {
          check_.Path(path.replace_prefix_match(), absl::StrCat(field, ".replacePrefixMatch"));
        }
        break;
      default:
        check_.Fail(absl::StrCat(field, ".type"), "must be ReplaceFullPath or ReplacePrefixMatch");
    }
    if (!path.replace_full_path().empty() &&
        path.type() != api::HTTPPathModifier::ReplaceFullPath) {
      check_.Fail(absl::StrCat(field, ".replaceFullPath"), "does not belong to this type");
    }
    if (path.has_replace_prefix_match() &&
        path.type() != api::HTTPPathModifier::ReplacePrefixMatch) {
      check_.Fail(absl::StrCat(field, ".replacePrefixMatch"), "does not belong to this type");
    }
  }

  FieldChecker& check_;
};

void CheckMatch(const api::HTTPRouteMatch& match, const std::string& field, RouteChecker* route,
                FieldChecker* check) {
  const std::string path = absl::StrCat(field, ".path.value");
  if (match.path().type() == api::HTTPPathMatch::RegularExpression) {
    check->Regex(match.path().value(), path);
  } else if (!match.path().value().empty()) {
    check->Path(match.path().value(), path);
  } else if (match.path().type() == api::HTTPPathMatch::Exact) {
    check->Fail(path, "is required by Exact");
  }
  if (!match.method().empty() && !net::IsHeaderName(match.method())) {
    check->Fail(absl::StrCat(field, ".method"), "is no method");
  }
  route->Headers(match.headers(), absl::StrCat(field, ".headers"));
  route->Bound(match.query_params_size(), absl::StrCat(field, ".queryParams"), net::kMaxMatchers);
  for (int i = 0; i < match.query_params_size(); ++i) {
    const api::HTTPQueryParamMatch& param = match.query_params(i);
    const std::string where = absl::StrCat(field, ".queryParams[", i, "]");
    if (param.name().empty() || param.name().size() > 256) {
      check->Fail(absl::StrCat(where, ".name"), "must have 1 to 256 bytes");
    }
    if (param.type() == api::HTTPQueryParamMatch::RegularExpression) {
      check->Regex(param.value(), absl::StrCat(where, ".value"));
    } else if (param.value().size() > 1024) {
      check->Fail(absl::StrCat(where, ".value"), "must have at most 1024 bytes");
    }
  }
}

void CheckTimeouts(const api::HTTPRouteTimeouts& timeouts, const std::string& field,
                   FieldChecker* check) {
  const absl::Duration day = absl::Hours(24);
  if (timeouts.has_request()) {
    check->Duration(timeouts.request(), absl::StrCat(field, ".request"), absl::ZeroDuration(), day);
  }
  if (timeouts.has_backend_request()) {
    const std::string backend = absl::StrCat(field, ".backendRequest");
    check->Duration(timeouts.backend_request(), backend, absl::ZeroDuration(), day);
    const auto length = [](const google::protobuf::Duration& d) {
      return absl::Seconds(d.seconds()) + absl::Nanoseconds(d.nanos());
    };
    const absl::Duration whole = length(timeouts.request());
    if (whole > absl::ZeroDuration() && length(timeouts.backend_request()) > whole) {
      check->Fail(backend, "is longer than request, of which it is a part");
    }
  }
}

void CheckRetry(const api::HTTPRouteRetry& retry, const std::string& field, RouteChecker* route,
                FieldChecker* check) {
  route->Bound(retry.codes_size(), absl::StrCat(field, ".codes"), net::kMaxStatusCodes);
  for (int i = 0; i < retry.codes_size(); ++i) {
    check->Range(retry.codes(i), absl::StrCat(field, ".codes[", i, "]"), 400, 599);
  }
  check->Range(retry.attempts(), absl::StrCat(field, ".attempts"), 0, net::kMaxRetries);
  if (retry.has_backoff()) {
    check->Duration(retry.backoff(), absl::StrCat(field, ".backoff"), absl::Milliseconds(1),
                    absl::Hours(1));
  }
}

}  // namespace

void CheckHttpRoute(const api::HTTPRouteSpec& spec, FieldChecker* check) {
  RouteChecker route(check);
  route.Parents(spec.parent_refs());
  route.Hostnames(spec.hostnames());
  if (!route.Bound(spec.rules_size(), "spec.rules", kMaxRules)) {
    return;
  }
  for (int i = 0; i < spec.rules_size(); ++i) {
    const api::HTTPRouteRule& rule = spec.rules(i);
    const std::string field = absl::StrCat("spec.rules[", i, "]");
    route.Bound(rule.matches_size(), absl::StrCat(field, ".matches"), kMaxMatches);
    bool by_prefix = true;
    for (int j = 0; j < rule.matches_size(); ++j) {
      CheckMatch(rule.matches(j), absl::StrCat(field, ".matches[", j, "]"), &route, check);
      by_prefix &= rule.matches(j).path().type() == api::HTTPPathMatch::PathPrefix;
    }
    route.Filters(rule.filters(), absl::StrCat(field, ".filters"), false, by_prefix);
    route.Backends(rule.backend_refs(), absl::StrCat(field, ".backendRefs"));
    for (const api::HTTPRouteFilter& filter : rule.filters()) {
      if (filter.type() == Filter::RequestRedirect && !rule.backend_refs().empty()) {
        check->Fail(absl::StrCat(field, ".backendRefs"),
                    "has no effect beside RequestRedirect: nothing is sent on");
      }
    }
    CheckTimeouts(rule.timeouts(), absl::StrCat(field, ".timeouts"), check);
    if (rule.has_retry()) {
      CheckRetry(rule.retry(), absl::StrCat(field, ".retry"), &route, check);
    }
  }
}

void CheckGrpcRoute(const api::GRPCRouteSpec& spec, FieldChecker* check) {
  RouteChecker route(check);
  route.Parents(spec.parent_refs());
  route.Hostnames(spec.hostnames());
  if (!route.Bound(spec.rules_size(), "spec.rules", kMaxRules)) {
    return;
  }
  for (int i = 0; i < spec.rules_size(); ++i) {
    const api::GRPCRouteRule& rule = spec.rules(i);
    const std::string field = absl::StrCat("spec.rules[", i, "]");
    route.Bound(rule.matches_size(), absl::StrCat(field, ".matches"), kMaxMatches);
    for (int j = 0; j < rule.matches_size(); ++j) {
      const api::GRPCMethodMatch& method = rule.matches(j).method();
      const std::string where = absl::StrCat(field, ".matches[", j, "]");
      if (rule.matches(j).has_method() && method.service().empty() && method.method().empty()) {
        check->Fail(absl::StrCat(where, ".method"), "needs service or method");
      }
      const auto name = [&](const std::string& text, const char* which) {
        const std::string at = absl::StrCat(where, ".method.", which);
        if (text.empty()) {
          return;
        }
        if (method.type() == api::GRPCMethodMatch::RegularExpression) {
          check->Regex(text, at);
        } else if (!net::IsAbsolutePath(absl::StrCat("/", text)) || absl::StrContains(text, "/")) {
          check->Fail(at, "is no name of a gRPC service or method");
        }
      };
      name(method.service(), "service");
      name(method.method(), "method");
      route.Headers(rule.matches(j).headers(), absl::StrCat(where, ".headers"));
    }
    route.Filters(rule.filters(), absl::StrCat(field, ".filters"), true, false);
    route.Backends(rule.backend_refs(), absl::StrCat(field, ".backendRefs"));
  }
}

void CheckReferenceGrant(const api::ReferenceGrantSpec& spec, FieldChecker* check) {
  const auto list = [&](const auto& entries, const std::string& field) {
    if (entries.empty()) {
      check->Fail(field, "needs an entry: the grant allows nothing");
    } else if (entries.size() > kMaxGrants) {
      check->Fail(field, absl::StrCat("has ", entries.size(), " entries; at most ", kMaxGrants,
                                      " are allowed"));
    }
    for (int i = 0; i < entries.size(); ++i) {
      if (entries[i].kind().empty()) {
        check->Fail(absl::StrCat(field, "[", i, "].kind"), "is required");
      }
    }
  };
  list(spec.from(), "spec.from");
  list(spec.to(), "spec.to");
  for (int i = 0; i < spec.from_size(); ++i) {
    check->DnsName(spec.from(i).namespace_(), absl::StrCat("spec.from[", i, "].namespace"));
  }
  for (int i = 0; i < spec.to_size(); ++i) {
    if (!spec.to(i).name().empty()) {
      check->DnsName(spec.to(i).name(), absl::StrCat("spec.to[", i, "].name"));
    }
  }
}

}  // namespace countersign::control::registry
