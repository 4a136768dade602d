#include "control/compile/route_action.h"

#include <cmath>

#include "absl/strings/match.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_replace.h"
#include "absl/strings/str_split.h"
#include "absl/types/optional.h"
#include "api/xds/fault.pb.h"
#include "api/xds/names.h"
#include "api/xds/previous_hosts.pb.h"
#include "re2/re2.h"

namespace countersign::control::compile {
namespace {

namespace api = mesh::v1alpha1;
namespace core = ::envoy::config::core::v3;
namespace fault = ::envoy::extensions::filters::http::fault::v3;
namespace route = ::envoy::config::route::v3;
using Filter = api::HTTPRouteFilter;

constexpr char kDefaultRetryOn[] = "connect-failure,refused-stream,reset-before-request";
constexpr uint32_t kDefaultRetries = 2;
// Envoy: how often a host is drawn again that was tried already.
constexpr int kHostAttempts = 3;
constexpr uint32_t kNoBackend = 500;  // Gateway API: a rule whose backends are none or invalid

// What redirects may change the path to: RE2 takes `\` for a reference.
std::string EscapeSubstitution(const std::string& text) {
  return absl::StrReplaceAll(text, {{"\\", "\\\\"}});
}

template <typename Ref>
registry::Reference ReferenceOf(const Ref& ref, const RouteScope& scope) {
  return {.kind = scope.from->KindName(),
          .ns = scope.from->ns,
          .parent_ns = scope.parent_ns,
          .target_ns = ref.namespace_().empty() ? scope.from->ns : ref.namespace_(),
          .target = ref.name()};
}

// A cluster that there never is where the reference is not granted.
template <typename Ref>
std::string ClusterOf(const Ref& ref, const RouteScope& scope) {
  const registry::Reference reference = ReferenceOf(ref, scope);
  return absl::StrCat(scope.grants->Allow(reference) ? "service/" : "ungranted/",
                      reference.target_ns, "/", ref.name(), ":", ref.port(), "/", scope.family);
}

// `%` begins a command of Envoy's.
std::string Literal(const std::string& value) { return absl::StrReplaceAll(value, {{"%", "%%"}}); }

template <typename List>
void AddHeaders(const List& headers, core::HeaderValueOption::HeaderAppendAction action,
                google::protobuf::RepeatedPtrField<core::HeaderValueOption>* out) {
  for (const api::HTTPHeader& header : headers) {
    core::HeaderValueOption* option = out->Add();
    option->mutable_header()->set_key(header.name());
    option->mutable_header()->set_value(Literal(header.value()));
    option->set_append_action(action);
  }
}

// `Out` is a Route or a ClusterWeight.
template <typename Out>
void ApplyHeaderFilters(const google::protobuf::RepeatedPtrField<Filter>& filters, Out* out) {
  for (const Filter& filter : filters) {
    const bool request = filter.type() == Filter::RequestHeaderModifier;
    if (!request && filter.type() != Filter::ResponseHeaderModifier) {
      continue;
    }
    const api::HTTPHeaderFilter& changes =
        request ? filter.request_header_modifier() : filter.response_header_modifier();
    auto* add =
        request ? out->mutable_request_headers_to_add() : out->mutable_response_headers_to_add();
    AddHeaders(changes.set(), core::HeaderValueOption::OVERWRITE_IF_EXISTS_OR_ADD, add);
    AddHeaders(changes.add(), core::HeaderValueOption::APPEND_IF_EXISTS_OR_ADD, add);
    auto* remove = request ? out->mutable_request_headers_to_remove()
                           : out->mutable_response_headers_to_remove();
    for (const std::string& name : changes.remove()) {
      *remove->Add() = name;
    }
  }
}

void SetFraction(double percent, envoy::type::v3::FractionalPercent* out) {
  out->set_numerator(static_cast<uint32_t>(std::lround(percent * 10'000)));
  out->set_denominator(envoy::type::v3::FractionalPercent::MILLION);
}

void ApplyMirrors(const google::protobuf::RepeatedPtrField<Filter>& filters,
                  const RouteScope& scope, route::RouteAction* action) {
  for (const Filter& filter : filters) {
    if (filter.type() != Filter::RequestMirror) {
      continue;
    }
    const api::HTTPRequestMirrorFilter& in = filter.request_mirror();
    if (!scope.grants->Allow(ReferenceOf(in.backend_ref(), scope))) {
      continue;
    }
    route::RouteAction::RequestMirrorPolicy* mirror = action->add_request_mirror_policies();
    mirror->set_cluster(ClusterOf(in.backend_ref(), scope));
    if (in.has_percent()) {
      SetFraction(in.percent(), mirror->mutable_runtime_fraction()->mutable_default_value());
    } else if (in.has_fraction()) {
      const double denominator =
          in.fraction().denominator() == 0 ? 100 : in.fraction().denominator();
      SetFraction(100.0 * in.fraction().numerator() / denominator,
                  mirror->mutable_runtime_fraction()->mutable_default_value());
    }
  }
}

void ApplyRewrite(const api::HTTPURLRewriteFilter& rewrite, const std::string& prefix,
                  route::RouteAction* action) {
  if (!rewrite.hostname().empty()) {
    action->set_host_rewrite_literal(rewrite.hostname());
  }
  const api::HTTPPathModifier& path = rewrite.path();
  const auto by_expression = [&](const std::string& pattern, const std::string& substitution) {
    action->mutable_regex_rewrite()->mutable_pattern()->set_regex(pattern);
    action->mutable_regex_rewrite()->set_substitution(EscapeSubstitution(substitution));
  };
  if (path.type() == api::HTTPPathModifier::ReplaceFullPath) {
    by_expression("^.*$", path.replace_full_path());
  } else if (path.type() == api::HTTPPathModifier::ReplacePrefixMatch) {
    std::string with = path.replace_prefix_match();
    while (absl::EndsWith(with, "/")) {
      with.pop_back();
    }
    // The Gateway API's table: `/a` replaced by `/` makes `/` of `/a` and `/b` of `/a/b`.
    if (prefix.empty()) {
      by_expression("^/", absl::StrCat(with, "/"));
    } else if (with.empty()) {
      by_expression(absl::StrCat("^", re2::RE2::QuoteMeta(prefix), "/*"), "/");
    } else {
      action->set_prefix_rewrite(with);
    }
  }
}

void FillRedirect(const api::HTTPRequestRedirectFilter& in, route::RedirectAction* out) {
  if (!in.scheme().empty()) {
    out->set_scheme_redirect(in.scheme());
  }
  out->set_host_redirect(in.hostname());
  out->set_port_redirect(in.port());
  switch (in.status_code()) {
    case 301:
      out->set_response_code(route::RedirectAction::MOVED_PERMANENTLY);
      break;
    case 303:
      out->set_response_code(route::RedirectAction::SEE_OTHER);
      break;
    case 307:
      out->set_response_code(route::RedirectAction::TEMPORARY_REDIRECT);
      break;
    case 308:
      out->set_response_code(route::RedirectAction::PERMANENT_REDIRECT);
      break;
    default:
      out->set_response_code(route::RedirectAction::FOUND);
      break;
  }
  switch (in.path().type()) {
    case api::HTTPPathModifier::ReplaceFullPath:
      out->set_path_redirect(in.path().replace_full_path());
      break;
    case api::HTTPPathModifier::ReplacePrefixMatch:
      out->set_prefix_rewrite(
          in.path().replace_prefix_match().empty() ? "/" : in.path().replace_prefix_match());
      break;
    default:
      break;
  }
}

void PreferOtherHosts(route::RetryPolicy* retry) {
  route::RetryPolicy::RetryHostPredicate* predicate = retry->add_retry_host_predicate();
  predicate->set_name(xds::kPreviousHosts);
  predicate->mutable_typed_config()->PackFrom(
      envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate());
  retry->set_host_selection_retry_max_attempts(kHostAttempts);
}

void SetBackoff(const google::protobuf::Duration& base, route::RetryPolicy* retry) {
  *retry->mutable_retry_back_off()->mutable_base_interval() = base;
  // The Gateway API's backoff is a minimum; Envoy's maximum is ten times it where nothing is said.
}

void FillRetries(const api::TrafficPolicySpec* policy, route::RetryPolicy* retry) {
  uint32_t attempts = kDefaultRetries;
  std::vector<std::string> on;
  if (policy != nullptr && policy->has_retries()) {
    const api::RetrySettings& in = policy->retries();
    attempts = in.has_attempts() ? in.attempts() : kDefaultRetries;
    bool statuses = false;
    for (absl::string_view condition : absl::StrSplit(in.retry_on(), ',', absl::SkipWhitespace())) {
      condition = absl::StripAsciiWhitespace(condition);
      uint32_t status = 0;
      if (absl::SimpleAtoi(condition, &status)) {
        retry->add_retriable_status_codes(status);
        statuses = true;
      } else {
        on.emplace_back(condition);
      }
    }
    if (statuses) {
      on.push_back("retriable-status-codes");
    }
    if (in.has_per_try_timeout()) {
      *retry->mutable_per_try_timeout() = in.per_try_timeout();
    }
    if (in.has_backoff()) {
      SetBackoff(in.backoff(), retry);
    }
  }
  retry->set_retry_on(on.empty() ? kDefaultRetryOn : absl::StrJoin(on, ","));
  retry->mutable_num_retries()->set_value(attempts);
  PreferOtherHosts(retry);
}

// What the policy says of every request, and of those whose rule says nothing else.
void ApplyPolicyToAction(const api::TrafficPolicySpec* policy, route::RouteAction* action) {
  action->mutable_timeout();  // 0: none
  FillRetries(policy, action->mutable_retry_policy());
  action->add_upgrade_configs()->set_upgrade_type("websocket");
  if (policy == nullptr) {
    return;
  }
  if (policy->has_timeout()) {
    *action->mutable_timeout() = policy->timeout();
  }
  if (policy->has_idle_timeout()) {
    *action->mutable_idle_timeout() = policy->idle_timeout();
  }
  if (policy->has_max_grpc_timeout()) {
    *action->mutable_max_stream_duration()->mutable_grpc_timeout_header_max() =
        policy->max_grpc_timeout();
  }
  if (!policy->load_balancer().has_consistent_hash()) {
    return;
  }
  const api::ConsistentHash& hash = policy->load_balancer().consistent_hash();
  route::RouteAction::HashPolicy* out = action->add_hash_policy();
  if (!hash.http_header_name().empty()) {
    out->mutable_header()->set_header_name(hash.http_header_name());
  } else if (hash.has_http_cookie()) {
    out->mutable_cookie()->set_name(hash.http_cookie().name());
    out->mutable_cookie()->set_path(hash.http_cookie().path().empty() ? "/"
                                                                      : hash.http_cookie().path());
    if (hash.http_cookie().has_ttl()) {
      *out->mutable_cookie()->mutable_ttl() = hash.http_cookie().ttl();
    }
  } else if (hash.use_source_ip()) {
    out->mutable_connection_properties()->set_source_ip(true);
  } else {
    out->mutable_query_parameter()->set_name(hash.http_query_parameter_name());
  }
}

void ApplyFault(const api::TrafficPolicySpec* policy, route::Route* out) {
  if (policy == nullptr || !policy->has_fault()) {
    return;
  }
  fault::HTTPFault message;
  const api::FaultSettings& in = policy->fault();
  if (in.has_delay()) {
    *message.mutable_delay()->mutable_fixed_delay() = in.delay().fixed_delay();
    SetFraction(in.delay().percentage().value(), message.mutable_delay()->mutable_percentage());
  }
  if (in.has_abort()) {
    if (in.abort().has_grpc_status()) {
      message.mutable_abort()->set_grpc_status(in.abort().grpc_status());
    } else {
      message.mutable_abort()->set_http_status(in.abort().http_status());
    }
    SetFraction(in.abort().percentage().value(), message.mutable_abort()->mutable_percentage());
  }
  (*out->mutable_typed_per_filter_config())[xds::kFaultFilter].PackFrom(message);
}

// Says why where there is nowhere to send requests.
absl::optional<std::string> FillBackends(
    const google::protobuf::RepeatedPtrField<api::HTTPBackendRef>& backends,
    const RouteScope& scope, route::RouteAction* action) {
  uint64_t total = 0;
  std::string why = "has no backend with a weight";
  for (const api::HTTPBackendRef& backend : backends) {
    const uint32_t weight = backend.has_weight() ? backend.weight() : 1;
    if (const registry::Reference reference = ReferenceOf(backend, scope);
        scope.grants->Allow(reference)) {
      total += weight;
    } else if (weight > 0) {
      why = absl::StrCat("has no backend that it may use: ", reference.WhyNot());
    }
  }
  if (total == 0) {
    return why;
  }
  if (backends.size() == 1 && backends[0].filters().empty()) {
    action->set_cluster(ClusterOf(backends[0], scope));
    return absl::nullopt;
  }
  for (const api::HTTPBackendRef& backend : backends) {
    auto* weighted = action->mutable_weighted_clusters()->add_clusters();
    weighted->set_name(ClusterOf(backend, scope));
    weighted->mutable_weight()->set_value(backend.has_weight() ? backend.weight() : 1);
    ApplyHeaderFilters(backend.filters(), weighted);
  }
  return absl::nullopt;
}

template <typename Rule>
route::RouteAction* FillForward(const Rule& rule, const RouteScope& scope, route::Route* out) {
  ApplyHeaderFilters(rule.filters(), out);
  ApplyFault(scope.policy, out);
  route::RouteAction* action = out->mutable_route();
  if (const auto why = FillBackends(rule.backend_refs(), scope, action); why.has_value()) {
    out->mutable_direct_response()->set_status(kNoBackend);
    out->mutable_direct_response()->mutable_body()->set_inline_string(
        absl::StrCat(out->name(), " ", *why, "\n"));
    return nullptr;
  }
  ApplyPolicyToAction(scope.policy, action);
  ApplyMirrors(rule.filters(), scope, action);
  return action;
}

}  // namespace

void FillDefaultRoute(const std::string& cluster, const api::TrafficPolicySpec* policy,
                      route::Route* out) {
  out->set_name("default");
  out->mutable_match()->set_prefix("/");
  out->mutable_route()->set_cluster(cluster);
  ApplyPolicyToAction(policy, out->mutable_route());
  ApplyFault(policy, out);
}

void FillAction(const api::HTTPRouteRule& rule, const RouteScope& scope, const std::string& prefix,
                route::Route* out) {
  for (const Filter& filter : rule.filters()) {
    if (filter.type() == Filter::RequestRedirect) {
      ApplyHeaderFilters(rule.filters(), out);
      ApplyFault(scope.policy, out);
      FillRedirect(filter.request_redirect(), out->mutable_redirect());
      return;
    }
  }
  route::RouteAction* action = FillForward(rule, scope, out);
  if (action == nullptr) {
    return;
  }
  for (const Filter& filter : rule.filters()) {
    if (filter.type() == Filter::URLRewrite) {
      ApplyRewrite(filter.url_rewrite(), prefix, action);
    }
  }
  if (rule.timeouts().has_request()) {
    *action->mutable_timeout() = rule.timeouts().request();
  }
  route::RetryPolicy* retry = action->mutable_retry_policy();
  if (rule.has_retry()) {
    retry->Clear();
    std::string on = kDefaultRetryOn;
    if (!rule.retry().codes().empty()) {
      absl::StrAppend(&on, ",retriable-status-codes");
    }
    retry->set_retry_on(on);
    *retry->mutable_retriable_status_codes() = rule.retry().codes();
    retry->mutable_num_retries()->set_value(rule.retry().has_attempts() ? rule.retry().attempts()
                                                                        : 1);
    if (rule.retry().has_backoff()) {
      SetBackoff(rule.retry().backoff(), retry);
    }
    PreferOtherHosts(retry);
  }
  if (rule.timeouts().has_backend_request()) {
    *retry->mutable_per_try_timeout() = rule.timeouts().backend_request();
  }
}

void FillAction(const api::GRPCRouteRule& rule, const RouteScope& scope, route::Route* out) {
  FillForward(rule, scope, out);
}

}  // namespace countersign::control::compile
