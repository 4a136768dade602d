#include "proxy/config/route_action_translation.h"

#include <algorithm>
#include <limits>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "api/net/http_field.h"
#include "api/net/http_limits.h"
#include "api/xds/fault.pb.h"
#include "api/xds/names.h"
#include "api/xds/previous_hosts.pb.h"
#include "proxy/config/matcher_translation.h"
#include "proxy/config/strict_fields.h"

namespace countersign::config {
namespace {

namespace fault = ::envoy::extensions::filters::http::fault::v3;
namespace route = ::envoy::config::route::v3;

constexpr int kMaxHashPolicies = 16;
constexpr size_t kMaxBodyBytes = 4096;
// Envoy's, where a route says nothing.
constexpr Milliseconds kDefaultTimeout{15'000};
constexpr Milliseconds kMaxTimeout{int64_t{24} * 3600 * 1000};
// Says `never`, where the connection manager's would otherwise be taken.
constexpr Milliseconds kNoIdleTimeout{int64_t{366} * 24 * 3600 * 1000};

struct RetryOn {
  absl::string_view name;
  uint32_t bit;
};
constexpr RetryOn kRetryOn[] = {
    {"5xx", RetryPolicy::k5xx},
    {"gateway-error", RetryPolicy::kGatewayError},
    {"connect-failure", RetryPolicy::kConnectFailure},
    {"refused-stream", RetryPolicy::kRefusedStream},
    {"reset", RetryPolicy::kReset},
    {"reset-before-request", RetryPolicy::kResetBeforeRequest},
    {"retriable-4xx", RetryPolicy::kRetriable4xx},
    {"retriable-status-codes", RetryPolicy::kRetriableStatusCodes},
    {"cancelled", RetryPolicy::kGrpcCancelled},
    {"deadline-exceeded", RetryPolicy::kGrpcDeadlineExceeded},
    {"internal", RetryPolicy::kGrpcInternal},
    {"resource-exhausted", RetryPolicy::kGrpcResourceExhausted},
    {"unavailable", RetryPolicy::kGrpcUnavailable},
};

// An authority as a rewrite or a redirect writes it: no user, no path, no space.
bool IsHost(absl::string_view host) {
  return !host.empty() && host.size() <= 261 && std::all_of(host.begin(), host.end(), [](char c) {
    return absl::ascii_isalnum(c) || c == '.' || c == '-' || c == '_' || c == ':' || c == '[' ||
           c == ']';
  });
}

// A path, perhaps with a query behind it.
bool IsPathAndQuery(absl::string_view path) {
  return net::IsAbsolutePath(path.substr(0, path.find('?'))) &&
         std::all_of(path.begin(), path.end(),
                     [](char c) { return c > 0x20 && c < 0x7f && c != '#'; });
}

void FillClusters(const route::RouteAction& in, const std::string& path, FieldCheck* check,
                  ForwardAction* out) {
  switch (in.cluster_specifier_case()) {
    case route::RouteAction::kCluster:
      out->clusters.push_back(
          {.cluster = check->Text(in.cluster(), absl::StrCat(path, ".cluster"))});
      out->total_weight = 1;
      return;
    case route::RouteAction::kWeightedClusters:
      break;
    case route::RouteAction::CLUSTER_SPECIFIER_NOT_SET:
      check->Refuse(path, "needs cluster or weighted_clusters");
      return;
  }
  const std::string list = absl::StrCat(path, ".weighted_clusters.clusters");
  const auto& clusters = in.weighted_clusters().clusters();
  if (clusters.size() > net::kMaxRouteClusters) {
    check->Refuse(list, absl::StrCat("must be at most ", net::kMaxRouteClusters));
    return;
  }
  for (int i = 0; i < clusters.size(); ++i) {
    const route::WeightedCluster::ClusterWeight& one = clusters[i];
    const std::string where = absl::StrCat(list, "[", i, "]");
    WeightedCluster cluster;
    cluster.cluster = check->Text(one.name(), absl::StrCat(where, ".name"));
    cluster.weight = one.weight().value();
    cluster.request_headers = TranslateHeaderChanges(
        one.request_headers_to_add(), one.request_headers_to_remove(), where, "request", check);
    cluster.response_headers = TranslateHeaderChanges(
        one.response_headers_to_add(), one.response_headers_to_remove(), where, "response", check);
    out->total_weight += cluster.weight;
    if (cluster.weight > 0) {
      out->clusters.push_back(std::move(cluster));
    }
  }
  if (out->total_weight == 0 || out->total_weight > std::numeric_limits<uint32_t>::max()) {
    check->Refuse(list, "must have weights that add up to 1 to 4294967295");
  }
}

void FillRewrites(const route::RouteAction& in, const std::string& path, FieldCheck* check,
                  ForwardAction* out) {
  if (!in.prefix_rewrite().empty()) {
    out->prefix_rewrite = in.prefix_rewrite();
    out->has_prefix_rewrite = true;
    if (!net::IsAbsolutePath(in.prefix_rewrite())) {
      check->Refuse(absl::StrCat(path, ".prefix_rewrite"),
                    "must begin with `/` and have neither `?` nor `#` nor spaces");
    }
  }
  if (in.has_regex_rewrite()) {
    const std::string where = absl::StrCat(path, ".regex_rewrite");
    if (out->has_prefix_rewrite) {
      check->Refuse(where, "cannot stand beside prefix_rewrite");
    }
    out->regex_rewrite =
        check->Regex(in.regex_rewrite().pattern().regex(), absl::StrCat(where, ".pattern.regex"));
    out->substitution = in.regex_rewrite().substitution();
    std::string error;
    if (out->substitution.size() > kMaxBodyBytes ||
        (out->regex_rewrite != nullptr &&
         !out->regex_rewrite->CheckRewriteString(out->substitution, &error))) {
      check->Refuse(absl::StrCat(where, ".substitution"),
                    error.empty() ? "is too long" : error.c_str());
    }
  }
  if (in.host_rewrite_specifier_case() == route::RouteAction::kHostRewriteLiteral) {
    out->host_rewrite = in.host_rewrite_literal();
    if (!IsHost(out->host_rewrite)) {
      check->Refuse(absl::StrCat(path, ".host_rewrite_literal"), "is no host");
    }
  }
}

HashPolicy TranslateHash(const route::RouteAction::HashPolicy& in, const std::string& path,
                         FieldCheck* check) {
  HashPolicy out;
  out.terminal = in.terminal();
  switch (in.policy_specifier_case()) {
    case route::RouteAction::HashPolicy::kHeader:
      out.kind = HashPolicy::Kind::kHeader;
      out.name = absl::AsciiStrToLower(in.header().header_name());
      if (!net::IsHeaderName(out.name) && out.name != ":authority" && out.name != ":path") {
        check->Refuse(absl::StrCat(path, ".header.header_name"), "is no name of a header field");
      }
      break;
    case route::RouteAction::HashPolicy::kCookie:
      out.kind = HashPolicy::Kind::kCookie;
      out.name = in.cookie().name();
      if (!net::IsHeaderName(out.name)) {
        check->Refuse(absl::StrCat(path, ".cookie.name"), "is no name of a cookie");
      }
      if (in.cookie().has_ttl()) {
        out.cookie_ttl = std::chrono::duration_cast<std::chrono::seconds>(check->Duration(
            in.cookie().ttl(), absl::StrCat(path, ".cookie.ttl"), Milliseconds(0), kNoIdleTimeout));
      }
      out.cookie_path = in.cookie().path();
      if (!out.cookie_path.empty() &&
          (!net::IsAbsolutePath(out.cookie_path) || absl::StrContains(out.cookie_path, ";"))) {
        check->Refuse(absl::StrCat(path, ".cookie.path"), "is no path");
      }
      break;
    case route::RouteAction::HashPolicy::kConnectionProperties:
      out.kind = HashPolicy::Kind::kSourceIp;
      if (!in.connection_properties().source_ip()) {
        check->Refuse(absl::StrCat(path, ".connection_properties.source_ip"), "must be true");
      }
      break;
    case route::RouteAction::HashPolicy::kQueryParameter:
      out.kind = HashPolicy::Kind::kQuery;
      out.name =
          check->Text(in.query_parameter().name(), absl::StrCat(path, ".query_parameter.name"));
      break;
    case route::RouteAction::HashPolicy::POLICY_SPECIFIER_NOT_SET:
      check->Refuse(path, "needs header, cookie, connection_properties or query_parameter");
      break;
  }
  return out;
}

}  // namespace

RetryPolicy TranslateRetry(const route::RetryPolicy& in, const std::string& path,
                           FieldCheck* check) {
  RetryPolicy out;
  for (absl::string_view name : absl::StrSplit(in.retry_on(), ',', absl::SkipWhitespace())) {
    name = absl::StripAsciiWhitespace(name);
    const auto* known = std::find_if(std::begin(kRetryOn), std::end(kRetryOn),
                                     [&](const RetryOn& on) { return on.name == name; });
    if (known == std::end(kRetryOn)) {
      check->Refuse(absl::StrCat(path, ".retry_on"),
                    absl::StrCat("`", name.substr(0, 64), "` is not honoured"));
      continue;
    }
    out.on |= known->bit;
  }
  out.num_retries = !in.has_num_retries()
                        ? 1
                        : check->Number(in.num_retries().value(),
                                        absl::StrCat(path, ".num_retries"), 0, net::kMaxRetries);
  if (in.has_per_try_timeout()) {
    out.per_try_timeout = check->Duration(
        in.per_try_timeout(), absl::StrCat(path, ".per_try_timeout"), Milliseconds(0), kMaxTimeout);
  }
  if (in.has_per_try_idle_timeout()) {
    out.per_try_idle_timeout =
        check->Duration(in.per_try_idle_timeout(), absl::StrCat(path, ".per_try_idle_timeout"),
                        Milliseconds(0), kMaxTimeout);
  }
  out.other_hosts = in.retry_host_predicate_size() > 0;
  for (int i = 0; i < in.retry_host_predicate_size(); ++i) {
    envoy::extensions::retry::host::previous_hosts::v3::PreviousHostsPredicate predicate;
    check->Take(UnpackStrict(in.retry_host_predicate(i).typed_config(),
                             absl::StrCat(path, ".retry_host_predicate[", i, "].typed_config"),
                             &predicate));
  }
  if (in.retriable_status_codes_size() > net::kMaxStatusCodes) {
    check->Refuse(absl::StrCat(path, ".retriable_status_codes"),
                  absl::StrCat("must be at most ", net::kMaxStatusCodes));
    return out;
  }
  for (int i = 0; i < in.retriable_status_codes_size(); ++i) {
    out.status_codes.push_back(static_cast<uint16_t>(
        check->Number(in.retriable_status_codes(i),
                      absl::StrCat(path, ".retriable_status_codes[", i, "]"), 400, 599)));
  }
  if (in.has_retry_back_off()) {
    const std::string where = absl::StrCat(path, ".retry_back_off");
    out.backoff_base =
        check->Duration(in.retry_back_off().base_interval(), absl::StrCat(where, ".base_interval"),
                        Milliseconds(1), kMaxTimeout);
    // Envoy: ten times the base when unset.
    out.backoff_max =
        in.retry_back_off().has_max_interval()
            ? check->Duration(in.retry_back_off().max_interval(),
                              absl::StrCat(where, ".max_interval"), out.backoff_base, kMaxTimeout)
            : 10 * out.backoff_base;
  }
  return out;
}

ForwardAction TranslateForward(const route::RouteAction& in, const RetryPolicy* inherited,
                               const std::string& path, FieldCheck* check) {
  ForwardAction out;
  FillClusters(in, path, check, &out);
  FillRewrites(in, path, check, &out);
  out.timeout = in.has_timeout() ? check->Duration(in.timeout(), absl::StrCat(path, ".timeout"),
                                                   Milliseconds(0), kMaxTimeout)
                                 : kDefaultTimeout;
  if (in.has_idle_timeout()) {
    out.idle_timeout = check->Duration(in.idle_timeout(), absl::StrCat(path, ".idle_timeout"),
                                       Milliseconds(0), kMaxTimeout);
    if (out.idle_timeout == Milliseconds(0)) {
      out.idle_timeout = kNoIdleTimeout;
    }
  }
  if (in.max_stream_duration().has_grpc_timeout_header_max()) {
    out.max_grpc_timeout =
        check->Duration(in.max_stream_duration().grpc_timeout_header_max(),
                        absl::StrCat(path, ".max_stream_duration.grpc_timeout_header_max"),
                        Milliseconds(0), kMaxTimeout);
  }
  if (in.has_retry_policy()) {
    out.retry = TranslateRetry(in.retry_policy(), absl::StrCat(path, ".retry_policy"), check);
  } else {
    out.retry = inherited == nullptr ? RetryPolicy{.on = 0, .num_retries = 0} : *inherited;
  }
  if (in.hash_policy_size() > kMaxHashPolicies ||
      in.request_mirror_policies_size() > net::kMaxMirrors) {
    check->Refuse(path, absl::StrCat("may have ", kMaxHashPolicies, " hash policies and ",
                                     net::kMaxMirrors, " mirrors"));
    return out;
  }
  for (int i = 0; i < in.hash_policy_size(); ++i) {
    out.hash.push_back(
        TranslateHash(in.hash_policy(i), absl::StrCat(path, ".hash_policy[", i, "]"), check));
  }
  for (int i = 0; i < in.request_mirror_policies_size(); ++i) {
    const std::string where = absl::StrCat(path, ".request_mirror_policies[", i, "]");
    const route::RouteAction::RequestMirrorPolicy& mirror = in.request_mirror_policies(i);
    MirrorPolicy policy;
    policy.cluster = check->Text(mirror.cluster(), absl::StrCat(where, ".cluster"));
    if (mirror.has_runtime_fraction()) {
      policy.per_million = check->PerMillion(mirror.runtime_fraction().default_value(),
                                             absl::StrCat(where, ".runtime_fraction"));
    }
    out.mirrors.push_back(std::move(policy));
  }
  out.upgrade_websocket = false;
  for (int i = 0; i < in.upgrade_configs_size(); ++i) {
    const route::RouteAction::UpgradeConfig& upgrade = in.upgrade_configs(i);
    if (!absl::EqualsIgnoreCase(upgrade.upgrade_type(), "websocket")) {
      check->Refuse(absl::StrCat(path, ".upgrade_configs[", i, "].upgrade_type"),
                    "must be `websocket`");
    }
    out.upgrade_websocket = !upgrade.has_enabled() || upgrade.enabled().value();
  }
  return out;
}

RedirectAction TranslateRedirect(const route::RedirectAction& in, const std::string& path,
                                 FieldCheck* check) {
  RedirectAction out;
  switch (in.response_code()) {
    case route::RedirectAction::MOVED_PERMANENTLY:
      out.status = 301;
      break;
    case route::RedirectAction::FOUND:
      out.status = 302;
      break;
    case route::RedirectAction::SEE_OTHER:
      out.status = 303;
      break;
    case route::RedirectAction::TEMPORARY_REDIRECT:
      out.status = 307;
      break;
    case route::RedirectAction::PERMANENT_REDIRECT:
      out.status = 308;
      break;
    default:
      check->Refuse(absl::StrCat(path, ".response_code"), "is no redirect");
  }
  switch (in.scheme_rewrite_specifier_case()) {
    case route::RedirectAction::kHttpsRedirect:
      out.scheme = in.https_redirect() ? "https" : "";
      break;
    case route::RedirectAction::kSchemeRedirect:
      out.scheme = absl::AsciiStrToLower(in.scheme_redirect());
      if (out.scheme != "http" && out.scheme != "https") {
        check->Refuse(absl::StrCat(path, ".scheme_redirect"), "must be `http` or `https`");
      }
      break;
    case route::RedirectAction::SCHEME_REWRITE_SPECIFIER_NOT_SET:
      break;
  }
  out.host = in.host_redirect();
  if (!out.host.empty() && !IsHost(out.host)) {
    check->Refuse(absl::StrCat(path, ".host_redirect"), "is no host");
  }
  out.port = check->Number(in.port_redirect(), absl::StrCat(path, ".port_redirect"), 0, 65535);
  switch (in.path_rewrite_specifier_case()) {
    case route::RedirectAction::kPathRedirect:
      out.path = in.path_redirect();
      if (!IsPathAndQuery(out.path)) {
        check->Refuse(absl::StrCat(path, ".path_redirect"), "is no path");
      }
      break;
    case route::RedirectAction::kPrefixRewrite:
      out.prefix = in.prefix_rewrite();
      out.has_prefix = true;
      if (!out.prefix.empty() && !net::IsAbsolutePath(out.prefix)) {
        check->Refuse(absl::StrCat(path, ".prefix_rewrite"), "is no path");
      }
      break;
    case route::RedirectAction::PATH_REWRITE_SPECIFIER_NOT_SET:
      break;
  }
  out.strip_query = in.strip_query();
  return out;
}

DirectResponseAction TranslateDirectResponse(const route::DirectResponseAction& in,
                                             const std::string& path, FieldCheck* check) {
  DirectResponseAction out;
  out.status =
      static_cast<uint16_t>(check->Number(in.status(), absl::StrCat(path, ".status"), 200, 599));
  out.body = in.body().has_inline_bytes() ? in.body().inline_bytes() : in.body().inline_string();
  if (out.body.size() > kMaxBodyBytes) {
    check->Refuse(absl::StrCat(path, ".body"),
                  absl::StrCat("must have at most ", kMaxBodyBytes, " bytes"));
  }
  return out;
}

FaultPolicy TranslateFault(
    const google::protobuf::Map<std::string, google::protobuf::Any>& per_filter,
    const std::string& path, FieldCheck* check) {
  FaultPolicy out;
  for (const auto& [name, any] : per_filter) {
    const std::string where = absl::StrCat(path, "[", name.substr(0, 128), "]");
    if (name != xds::kFaultFilter) {
      check->Refuse(where, absl::StrCat("is not honoured; `", xds::kFaultFilter, "` is"));
      return out;
    }
    fault::HTTPFault message;
    if (absl::Status status = UnpackStrict(any, where, &message); !status.ok()) {
      check->Take(status);
      return out;
    }
    if (message.has_delay()) {
      const std::string delay = absl::StrCat(where, ".delay");
      out.delay =
          check->Duration(message.delay().fixed_delay(), absl::StrCat(delay, ".fixed_delay"),
                          Milliseconds(1), Milliseconds(3'600'000));
      out.delay_per_million =
          check->PerMillion(message.delay().percentage(), absl::StrCat(delay, ".percentage"));
    }
    if (message.has_abort()) {
      const std::string abort = absl::StrCat(where, ".abort");
      out.abort_per_million =
          check->PerMillion(message.abort().percentage(), absl::StrCat(abort, ".percentage"));
      switch (message.abort().error_type_case()) {
        case fault::FaultAbort::kHttpStatus:
          out.abort_status = static_cast<uint16_t>(check->Number(
              message.abort().http_status(), absl::StrCat(abort, ".http_status"), 200, 599));
          break;
        case fault::FaultAbort::kGrpcStatus:
          // What is no gRPC request is told the same in HTTP's terms.
          out.abort_status = 503;
          out.abort_grpc_status = static_cast<int>(check->Number(
              message.abort().grpc_status(), absl::StrCat(abort, ".grpc_status"), 0, 16));
          break;
        case fault::FaultAbort::ERROR_TYPE_NOT_SET:
          check->Refuse(abort, "needs http_status or grpc_status");
          break;
      }
    }
  }
  return out;
}

}  // namespace countersign::config
