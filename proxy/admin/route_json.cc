#include "proxy/admin/route_json.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"

namespace countersign::admin {
namespace {

using Json = nlohmann::ordered_json;

Json StringMatchJson(const config::StringMatch& match) {
  constexpr const char* kKinds[] = {"exact", "prefix", "suffix", "contains", "safe_regex"};
  Json json;
  if (match.kind == config::StringMatch::Kind::kPresent) {
    json["present"] = true;
  } else if (match.kind == config::StringMatch::Kind::kRegex) {
    json["safe_regex"] = match.regex != nullptr ? match.regex->pattern() : match.text;
  } else {
    json[kKinds[static_cast<size_t>(match.kind)]] = match.text;
  }
  if (match.ignore_case) json["ignore_case"] = true;
  if (match.invert) json["invert"] = true;
  return json;
}

Json MatchJson(const config::RouteMatch& match) {
  constexpr const char* kKinds[] = {"prefix", "path_separated_prefix", "path", "safe_regex"};
  Json json;
  const bool regex = match.path.kind == config::PathMatch::Kind::kRegex;
  json[kKinds[static_cast<size_t>(match.path.kind)]] =
      regex && match.path.regex != nullptr ? match.path.regex->pattern() : match.path.text;
  if (match.path.ignore_case) json["ignore_case"] = true;
  if (!match.method.empty()) json["method"] = match.method;
  for (const config::HeaderMatch& header : match.headers) {
    Json one = StringMatchJson(header.match);
    one["name"] = header.name;
    json["headers"].push_back(std::move(one));
  }
  for (const config::QueryMatch& query : match.query) {
    Json one = StringMatchJson(query.match);
    one["name"] = query.name;
    json["query_parameters"].push_back(std::move(one));
  }
  if (match.grpc) json["grpc"] = true;
  return json;
}

Json HeaderChangesJson(const config::HeaderChanges& changes) {
  Json json = Json::object();
  for (const std::string& name : changes.remove) json["remove"].push_back(name);
  for (const auto& header : changes.set) json["set"].push_back(header.name);
  for (const auto& header : changes.add) json["add"].push_back(header.name);
  return json;
}

void AddHeaderChanges(const char* name, const config::HeaderChanges& changes, Json* json) {
  if (!changes.empty()) (*json)[name] = HeaderChangesJson(changes);
}

Json RetryJson(const config::RetryPolicy& retry) {
  constexpr const char* kConditions[] = {
      "5xx",        "gateway-error",        "connect-failure", "refused-stream",
      "reset",      "reset-before-request", "retriable-4xx",   "retriable-status-codes",
      "cancelled",  "deadline-exceeded",    "internal",        "resource-exhausted",
      "unavailable"};
  std::string on;
  for (size_t i = 0; i < std::size(kConditions); ++i) {
    if ((retry.on & (1u << i)) != 0) absl::StrAppend(&on, on.empty() ? "" : ",", kConditions[i]);
  }
  Json json = {{"retry_on", on}, {"num_retries", retry.num_retries}};
  if (!retry.status_codes.empty()) json["retriable_status_codes"] = retry.status_codes;
  if (retry.per_try_timeout.count() != 0) {
    json["per_try_timeout_ms"] = retry.per_try_timeout.count();
  }
  return json;
}

Json ForwardJson(const config::ForwardAction& forward) {
  Json json;
  for (const config::WeightedCluster& cluster : forward.clusters) {
    Json one = {{"cluster", cluster.cluster}, {"weight", cluster.weight}};
    AddHeaderChanges("request_headers", cluster.request_headers, &one);
    AddHeaderChanges("response_headers", cluster.response_headers, &one);
    json["clusters"].push_back(std::move(one));
  }
  json["timeout_ms"] = forward.timeout.count();
  if (forward.idle_timeout.count() != 0) json["idle_timeout_ms"] = forward.idle_timeout.count();
  if (forward.has_prefix_rewrite) json["prefix_rewrite"] = forward.prefix_rewrite;
  if (!forward.path_rewrite.empty()) json["path_rewrite"] = forward.path_rewrite;
  if (forward.regex_rewrite != nullptr) {
    json["regex_rewrite"] = {{"pattern", forward.regex_rewrite->pattern()},
                             {"substitution", forward.substitution}};
  }
  if (!forward.host_rewrite.empty()) json["host_rewrite"] = forward.host_rewrite;
  json["retry_policy"] = RetryJson(forward.retry);
  constexpr const char* kHashKinds[] = {"header", "cookie", "source_ip", "query_parameter"};
  for (const config::HashPolicy& hash : forward.hash) {
    json["hash_policy"].push_back(
        {{"kind", kHashKinds[static_cast<size_t>(hash.kind)]}, {"name", hash.name}});
  }
  for (const config::MirrorPolicy& mirror : forward.mirrors) {
    json["mirrors"].push_back({{"cluster", mirror.cluster}, {"per_million", mirror.per_million}});
  }
  return json;
}

Json RedirectJson(const config::RedirectAction& redirect) {
  Json json = {{"status", redirect.status}};
  if (!redirect.scheme.empty()) json["scheme"] = redirect.scheme;
  if (!redirect.host.empty()) json["host"] = redirect.host;
  if (redirect.port != 0) json["port"] = redirect.port;
  if (!redirect.path.empty()) json["path"] = redirect.path;
  if (redirect.has_prefix) json["prefix"] = redirect.prefix;
  return json;
}

Json FaultJson(const config::FaultPolicy& fault) {
  Json json;
  if (fault.delay_per_million != 0) {
    json["delay_ms"] = fault.delay.count();
    json["delay_per_million"] = fault.delay_per_million;
  }
  if (fault.abort_per_million != 0) {
    json["abort_status"] = fault.abort_status;
    json["abort_per_million"] = fault.abort_per_million;
  }
  return json;
}

Json RouteJson(const config::Route& route) {
  Json json = {{"name", route.name}, {"match", MatchJson(route.match)}};
  switch (route.action) {
    case config::Route::Action::kForward:
      json["forward"] = ForwardJson(route.forward);
      break;
    case config::Route::Action::kRedirect:
      json["redirect"] = RedirectJson(route.redirect);
      break;
    case config::Route::Action::kDirectResponse:
      json["direct_response"] = {{"status", route.direct.status},
                                 {"body_bytes", route.direct.body.size()}};
      break;
  }
  AddHeaderChanges("request_headers", route.request_headers, &json);
  AddHeaderChanges("response_headers", route.response_headers, &json);
  if (route.fault.delay_per_million != 0 || route.fault.abort_per_million != 0) {
    json["fault"] = FaultJson(route.fault);
  }
  return json;
}

}  // namespace

Json RouteConfigurationJson(const config::RouteConfiguration& configuration) {
  Json hosts = Json::array();
  for (const config::VirtualHost& host : configuration.virtual_hosts) {
    Json one = {{"name", host.name}, {"domains", host.domains}};
    Json routes = Json::array();
    for (const config::Route& route : host.routes) routes.push_back(RouteJson(route));
    one["routes"] = std::move(routes);
    AddHeaderChanges("request_headers", host.request_headers, &one);
    AddHeaderChanges("response_headers", host.response_headers, &one);
    hosts.push_back(std::move(one));
  }
  Json json = {{"virtual_hosts", std::move(hosts)}};
  AddHeaderChanges("request_headers", configuration.request_headers, &json);
  AddHeaderChanges("response_headers", configuration.response_headers, &json);
  return json;
}

}  // namespace countersign::admin
