#include "control/compile/routes.h"

#include <algorithm>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "control/compile/http.h"
#include "control/compile/route_action.h"
#include "re2/re2.h"

namespace countersign::control::compile {
namespace {

namespace api = mesh::v1alpha1;
namespace route = ::envoy::config::route::v3;
using registry::HttpRoute;

// How specific one match is; the greater comes first. The Gateway API leaves open where expressions
// stand: between exact paths and prefixes.
struct Rank {
  int path_kind = 0;  // 2 exact, 1 expression, 0 prefix
  size_t path_length = 0;
  bool method = false;
  int headers = 0;
  int query = 0;

  auto Key() const { return std::tie(path_kind, path_length, method, headers, query); }
};

struct Entry {
  const HttpRoute* from;
  route::Route route;
  Rank rank;
  size_t order;  // by age, then as written
};

void AddHeaderMatches(const google::protobuf::RepeatedPtrField<api::RouteHeaderMatch>& headers,
                      route::RouteMatch* out) {
  for (const api::RouteHeaderMatch& header : headers) {
    route::HeaderMatcher* matcher = out->add_headers();
    matcher->set_name(header.name());
    if (header.type() == api::RouteHeaderMatch::RegularExpression) {
      matcher->mutable_string_match()->mutable_safe_regex()->set_regex(header.value());
    } else {
      matcher->mutable_string_match()->set_exact(header.value());
    }
  }
}

// The prefix without `/` at its end, for rewrites; empty for `/` and what is no prefix.
std::string FillMatch(const api::HTTPRouteMatch& in, route::RouteMatch* out, Rank* rank) {
  std::string prefix;
  const std::string path = in.path().value().empty() ? "/" : in.path().value();
  switch (in.path().type()) {
    case api::HTTPPathMatch::Exact:
      out->set_path(path);
      rank->path_kind = 2;
      break;
    case api::HTTPPathMatch::RegularExpression:
      out->mutable_safe_regex()->set_regex(path);
      rank->path_kind = 1;
      break;
    default:
      prefix = path;
      while (absl::EndsWith(prefix, "/")) {
        prefix.pop_back();
      }
      if (prefix.empty()) {
        out->set_prefix("/");
      } else {
        out->set_path_separated_prefix(prefix);
      }
      break;
  }
  rank->path_length = path.size();
  if (!in.method().empty()) {
    route::HeaderMatcher* method = out->add_headers();
    method->set_name(":method");
    method->mutable_string_match()->set_exact(in.method());
    rank->method = true;
  }
  AddHeaderMatches(in.headers(), out);
  rank->headers = in.headers_size();
  for (const api::HTTPQueryParamMatch& param : in.query_params()) {
    route::QueryParameterMatcher* matcher = out->add_query_parameters();
    matcher->set_name(param.name());
    if (param.type() == api::HTTPQueryParamMatch::RegularExpression) {
      matcher->mutable_string_match()->mutable_safe_regex()->set_regex(param.value());
    } else {
      matcher->mutable_string_match()->set_exact(param.value());
    }
  }
  rank->query = in.query_params_size();
  return prefix;
}

void FillMatch(const api::GRPCRouteMatch& in, route::RouteMatch* out, Rank* rank) {
  out->mutable_grpc();
  const api::GRPCMethodMatch& method = in.method();
  const std::string& service = method.service();
  if (method.type() == api::GRPCMethodMatch::RegularExpression) {
    const std::string any = "[^/]+";
    out->mutable_safe_regex()->set_regex(
        absl::StrCat("/(?:", service.empty() ? any : service,
                     ")/(?:", method.method().empty() ? any : method.method(), ")"));
    rank->path_kind = 1;
  } else if (service.empty() && method.method().empty()) {
    out->set_prefix("/");
  } else if (method.method().empty()) {
    out->set_prefix(absl::StrCat("/", service, "/"));
  } else if (service.empty()) {
    out->mutable_safe_regex()->set_regex(
        absl::StrCat("/[^/]+/", re2::RE2::QuoteMeta(method.method())));
    rank->path_kind = 1;
  } else {
    out->set_path(absl::StrCat("/", service, "/", method.method()));
    rank->path_kind = 2;
  }
  rank->path_length = service.size() + method.method().size();
  AddHeaderMatches(in.headers(), out);
  rank->headers = in.headers_size();
}

class Collector {
 public:
  explicit Collector(RouteScope scope) : scope_(std::move(scope)) {}

  void Add(const HttpRoute& from) {
    scope_.from = &from;
    if (from.http != nullptr) {
      for (int i = 0; i < from.http->rules_size(); ++i) {
        const api::HTTPRouteRule& rule = from.http->rules(i);
        for (int j = 0; j == 0 || j < rule.matches_size(); ++j) {
          Entry& entry = Next(from, i, rule.name());
          const std::string prefix = FillMatch(
              j < rule.matches_size() ? rule.matches(j) : api::HTTPRouteMatch::default_instance(),
              entry.route.mutable_match(), &entry.rank);
          FillAction(rule, scope_, prefix, &entry.route);
        }
      }
      return;
    }
    for (int i = 0; i < from.grpc->rules_size(); ++i) {
      const api::GRPCRouteRule& rule = from.grpc->rules(i);
      for (int j = 0; j == 0 || j < rule.matches_size(); ++j) {
        Entry& entry = Next(from, i, rule.name());
        FillMatch(
            j < rule.matches_size() ? rule.matches(j) : api::GRPCRouteMatch::default_instance(),
            entry.route.mutable_match(), &entry.rank);
        FillAction(rule, scope_, &entry.route);
      }
    }
  }

  const std::vector<Entry>& entries() const { return entries_; }

 private:
  Entry& Next(const HttpRoute& from, int rule, const std::string& name) {
    Entry& entry = entries_.emplace_back();
    entry.from = &from;
    entry.order = entries_.size();
    entry.route.set_name(absl::StrCat(from.Key(), "/", name.empty() ? absl::StrCat(rule) : name));
    return entry;
  }

  RouteScope scope_;
  std::vector<Entry> entries_;
};

// The callers' own routes where they have any, else the Service's producers': never both (GEP-1294,
// `Multiple routes for a Service`).
std::vector<const HttpRoute*> RoutesFor(const registry::Model& model, const ServiceFront& front) {
  std::vector<const HttpRoute*> routes;
  for (const std::string* ns : {&front.caller_ns, &front.service.ns}) {
    for (const HttpRoute* route : model.RoutesOf(front.service)) {
      if (route->ns == *ns && route->IsFor(front.service, front.port)) {
        routes.push_back(route);
      }
    }
    if (!routes.empty()) {
      break;
    }
  }
  return routes;
}

// How specific a route's hostnames are for requests for `host` (which may be a wildcard itself): 0
// where it has none, and less than 0 where the route is not about them.
int Specificity(const HttpRoute& route, const std::string& host) {
  if (route.hostnames().empty()) {
    return 0;
  }
  int best = -1;
  for (const std::string& name : route.hostnames()) {
    if (name == host) {
      return 1 << 20;
    }
    // `*.b` covers `a.b` and `*.a.b`.
    const absl::string_view suffix = absl::string_view(name).substr(1);
    if (absl::StartsWith(name, "*.") && host.size() > suffix.size() &&
        absl::EndsWith(host, suffix)) {
      best = std::max(best, static_cast<int>(name.size()));
    }
  }
  return best;
}

}  // namespace

void FillServiceRoutes(const registry::Model& model, const ServiceFront& front,
                       route::RouteConfiguration* out) {
  const registry::TrafficPolicy* policy = model.PolicyOf(front.service, front.port);
  RouteScope scope;
  scope.grants = &model.grants();
  scope.parent_ns = front.service.ns;
  scope.family = front.cluster.substr(front.cluster.rfind('/') + 1);
  scope.policy = policy == nullptr ? nullptr : policy->spec.get();

  Collector collector(scope);
  std::set<std::string> hosts;
  bool for_all = false;
  for (const HttpRoute* from : RoutesFor(model, front)) {
    collector.Add(*from);
    hosts.insert(from->hostnames().begin(), from->hostnames().end());
    for_all |= from->hostnames().empty();
  }
  const auto fill = [&](const std::string& host, route::VirtualHost* to) {
    std::vector<std::pair<int, const Entry*>> chosen;
    for (const Entry& entry : collector.entries()) {
      if (const int specificity = Specificity(*entry.from, host); specificity >= 0) {
        chosen.emplace_back(specificity, &entry);
      }
    }
    std::sort(chosen.begin(), chosen.end(), [](const auto& a, const auto& b) {
      if (a.first != b.first) {
        return a.first > b.first;
      }
      if (a.second->rank.Key() != b.second->rank.Key()) {
        return a.second->rank.Key() > b.second->rank.Key();
      }
      return a.second->order < b.second->order;
    });
    for (const auto& [specificity, entry] : chosen) {
      *to->add_routes() = entry->route;
    }
  };
  for (const std::string& host : hosts) {
    route::VirtualHost* to = out->add_virtual_hosts();
    to->set_name(host);
    to->add_domains(host);
    fill(host, to);
  }
  route::VirtualHost* rest = AddCatchAll(out);
  if (for_all) {
    fill("*", rest);
  } else {
    FillDefaultRoute(front.cluster, scope.policy, rest->add_routes());
  }
}

}  // namespace countersign::control::compile
