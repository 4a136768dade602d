#include "proxy/config/cluster_policy_translation.h"

#include <cmath>

#include "absl/strings/str_cat.h"
#include "api/net/http_field.h"
#include "api/net/http_limits.h"
#include "api/xds/http_protocol_options.pb.h"
#include "api/xds/least_request.pb.h"
#include "api/xds/names.h"
#include "api/xds/peak_ewma.pb.h"
#include "proxy/config/strict_fields.h"

namespace countersign::config {
namespace {

namespace cluster = ::envoy::config::cluster::v3;
namespace core = ::envoy::config::core::v3;
using Options = ::envoy::extensions::upstreams::http::v3::HttpProtocolOptions;
using std::chrono::milliseconds;

constexpr milliseconds kMaxDuration{int64_t{366} * 24 * 3600 * 1000};

void TranslateSlowStart(const cluster::Cluster::SlowStartConfig& in, const std::string& path,
                        FieldCheck* check, Cluster* out) {
  if (in.has_slow_start_window()) {
    out->slow_start =
        check->Duration(in.slow_start_window(), absl::StrCat(path, ".slow_start_window"),
                        milliseconds(0), milliseconds(24 * 3'600'000));
  }
  if (in.has_aggression()) {
    out->slow_start_aggression = in.aggression().default_value();
    if (!(out->slow_start_aggression > 0 && out->slow_start_aggression <= 100)) {
      check->Refuse(absl::StrCat(path, ".aggression.default_value"),
                    "must be above 0, at most 100");
    }
  }
  if (in.has_min_weight_percent()) {
    out->slow_start_min_weight_percent =
        check->PerMillion(in.min_weight_percent(), absl::StrCat(path, ".min_weight_percent")) /
        10'000;
  }
}

// The first of the list that is known.
void TranslatePolicyList(const cluster::LoadBalancingPolicy& in, const std::string& path,
                         FieldCheck* check, Cluster* out) {
  for (int i = 0; i < in.policies_size(); ++i) {
    const google::protobuf::Any& any = in.policies(i).typed_extension_config().typed_config();
    const std::string where =
        absl::StrCat(path, ".policies[", i, "].typed_extension_config.typed_config");
    envoy::extensions::load_balancing_policies::peak_ewma::v3alpha::PeakEwma ewma;
    envoy::extensions::load_balancing_policies::least_request::v3::LeastRequest least;
    if (any.Is<decltype(ewma)>()) {
      check->Take(UnpackStrict(any, where, &ewma));
      out->lb_policy = LbPolicy::kPeakEwma;
      if (ewma.has_decay_time()) {
        out->ewma_decay = check->Duration(ewma.decay_time(), absl::StrCat(where, ".decay_time"),
                                          milliseconds(1), milliseconds(3'600'000));
      }
      return;
    }
    if (any.Is<decltype(least)>()) {
      check->Take(UnpackStrict(any, where, &least));
      out->lb_policy = LbPolicy::kLeastRequest;
      return;
    }
  }
  check->Refuse(absl::StrCat(path, ".policies"),
                "name none that is honoured; peak_ewma.v3alpha.PeakEwma and "
                "least_request.v3.LeastRequest are");
}

}  // namespace

void TranslateBalancing(const cluster::Cluster& in, const std::string& path, FieldCheck* check,
                        Cluster* out) {
  bool listed = false;
  switch (in.lb_policy()) {
    case cluster::Cluster::ROUND_ROBIN:
      out->lb_policy = LbPolicy::kRoundRobin;
      break;
    case cluster::Cluster::LEAST_REQUEST:
    case cluster::Cluster::CLUSTER_PROVIDED:
      out->lb_policy = LbPolicy::kLeastRequest;
      break;
    case cluster::Cluster::RANDOM:
      out->lb_policy = LbPolicy::kRandom;
      break;
    case cluster::Cluster::RING_HASH:
      out->lb_policy = LbPolicy::kRingHash;
      break;
    case cluster::Cluster::MAGLEV:
      out->lb_policy = LbPolicy::kMaglev;
      break;
    case cluster::Cluster::LOAD_BALANCING_POLICY_CONFIG:
      listed = true;
      break;
    default:
      check->Refuse(absl::StrCat(path, ".lb_policy"), "is not honoured by this proxy");
  }
  // Where there is a list it takes the place of lb_policy, as Envoy has it.
  if (listed || in.has_load_balancing_policy()) {
    TranslatePolicyList(in.load_balancing_policy(), absl::StrCat(path, ".load_balancing_policy"),
                        check, out);
  }
  switch (in.lb_config_case()) {
    case cluster::Cluster::kRingHashLbConfig: {
      const std::string where = absl::StrCat(path, ".ring_hash_lb_config");
      if (in.ring_hash_lb_config().has_minimum_ring_size()) {
        out->ring_minimum =
            check->Number(in.ring_hash_lb_config().minimum_ring_size().value(),
                          absl::StrCat(where, ".minimum_ring_size"), 1, net::kMaxRing);
      }
      if (in.ring_hash_lb_config().has_maximum_ring_size()) {
        out->ring_maximum = check->Number(in.ring_hash_lb_config().maximum_ring_size().value(),
                                          absl::StrCat(where, ".maximum_ring_size"),
                                          out->ring_minimum, net::kMaxRing);
      }
      break;
    }
    case cluster::Cluster::kMaglevLbConfig:
      if (in.maglev_lb_config().has_table_size()) {
        const std::string where = absl::StrCat(path, ".maglev_lb_config.table_size");
        out->maglev_table = check->Number(in.maglev_lb_config().table_size().value(), where, 2,
                                          net::kMaxMaglevTable);
        if (!net::IsPrime(out->maglev_table)) {
          check->Refuse(where, "must be a prime");
        }
      }
      break;
    case cluster::Cluster::kLeastRequestLbConfig:
      if (in.least_request_lb_config().has_choice_count()) {
        out->choice_count =
            check->Number(in.least_request_lb_config().choice_count().value(),
                          absl::StrCat(path, ".least_request_lb_config.choice_count"), 2, 100);
      }
      TranslateSlowStart(in.least_request_lb_config().slow_start_config(),
                         absl::StrCat(path, ".least_request_lb_config.slow_start_config"), check,
                         out);
      break;
    case cluster::Cluster::kRoundRobinLbConfig:
      TranslateSlowStart(in.round_robin_lb_config().slow_start_config(),
                         absl::StrCat(path, ".round_robin_lb_config.slow_start_config"), check,
                         out);
      break;
    case cluster::Cluster::LB_CONFIG_NOT_SET:
      break;
  }
  const cluster::Cluster::CommonLbConfig& common = in.common_lb_config();
  if (common.has_healthy_panic_threshold()) {
    out->panic_percent =
        check->PerMillion(common.healthy_panic_threshold(),
                          absl::StrCat(path, ".common_lb_config.healthy_panic_threshold")) /
        10'000;
  }
  if (common.zone_aware_lb_config().has_routing_enabled()) {
    const std::string where =
        absl::StrCat(path, ".common_lb_config.zone_aware_lb_config.routing_enabled");
    const uint32_t enabled =
        check->PerMillion(common.zone_aware_lb_config().routing_enabled(), where);
    if (enabled != 0 && enabled != 1'000'000) {
      check->Refuse(where, "must be 0 or 100");
    }
    out->prefer_locality = enabled != 0;
  }
}

void TranslateHealthChecks(const cluster::Cluster& in, const std::string& path, FieldCheck* check,
                           Cluster* out) {
  if (in.health_checks_size() > net::kMaxHealthChecks) {
    check->Refuse(absl::StrCat(path, ".health_checks"),
                  absl::StrCat("must be at most ", net::kMaxHealthChecks));
    return;
  }
  for (int i = 0; i < in.health_checks_size(); ++i) {
    const core::HealthCheck& from = in.health_checks(i);
    const std::string where = absl::StrCat(path, ".health_checks[", i, "]");
    HealthCheck to;
    const auto read = [&](const google::protobuf::Duration& value, const char* field) {
      return check->Duration(value, absl::StrCat(where, ".", field), milliseconds(10),
                             milliseconds(24 * 3'600'000));
    };
    to.timeout = read(from.timeout(), "timeout");
    to.interval = read(from.interval(), "interval");
    if (from.has_interval_jitter()) {
      to.interval_jitter =
          check->Duration(from.interval_jitter(), absl::StrCat(where, ".interval_jitter"),
                          milliseconds(0), milliseconds(24 * 3'600'000));
    }
    to.unhealthy_threshold = check->Number(from.unhealthy_threshold().value(),
                                           absl::StrCat(where, ".unhealthy_threshold"), 1, 1000);
    to.healthy_threshold = check->Number(from.healthy_threshold().value(),
                                         absl::StrCat(where, ".healthy_threshold"), 1, 1000);
    switch (from.health_checker_case()) {
      case core::HealthCheck::kHttpHealthCheck: {
        const std::string http = absl::StrCat(where, ".http_health_check");
        to.kind = HealthCheck::Kind::kHttp;
        to.path = from.http_health_check().path();
        if (!net::IsAbsolutePath(absl::string_view(to.path).substr(0, to.path.find('?'))) ||
            !net::IsHeaderValue(to.path)) {
          check->Refuse(absl::StrCat(http, ".path"), "must be a path");
        }
        to.host = from.http_health_check().host();
        if (!net::IsHeaderValue(to.host)) {
          check->Refuse(absl::StrCat(http, ".host"), "is no host");
        }
        // Envoy: 200 alone where nothing is said.
        to.status_begin = 200;
        to.status_end = 201;
        if (from.http_health_check().expected_statuses_size() > 1) {
          check->Refuse(absl::StrCat(http, ".expected_statuses"), "must be at most one range");
        } else if (from.http_health_check().expected_statuses_size() == 1) {
          const auto& range = from.http_health_check().expected_statuses(0);
          const std::string statuses = absl::StrCat(http, ".expected_statuses[0]");
          to.status_begin = static_cast<uint16_t>(
              check->Number(static_cast<uint64_t>(range.start()), statuses, 100, 599));
          to.status_end = static_cast<uint16_t>(check->Number(static_cast<uint64_t>(range.end()),
                                                              statuses, to.status_begin + 1, 600));
        }
        break;
      }
      case core::HealthCheck::kGrpcHealthCheck:
        to.kind = HealthCheck::Kind::kGrpc;
        to.grpc_service = from.grpc_health_check().service_name();
        break;
      case core::HealthCheck::kTcpHealthCheck:
        to.kind = HealthCheck::Kind::kTcp;
        break;
      case core::HealthCheck::HEALTH_CHECKER_NOT_SET:
        check->Refuse(where, "needs http_health_check, grpc_health_check or tcp_health_check");
        break;
    }
    out->health_checks.push_back(std::move(to));
  }
}

void TranslateOutlierDetection(const cluster::OutlierDetection& in, const std::string& path,
                               FieldCheck* check, OutlierDetection* out) {
  out->enabled = true;
  const auto time = [&](bool has, const google::protobuf::Duration& value, const char* field,
                        milliseconds* to) {
    if (has) {
      *to = check->Duration(value, absl::StrCat(path, ".", field), milliseconds(1), kMaxDuration);
    }
  };
  time(in.has_interval(), in.interval(), "interval", &out->interval);
  time(in.has_base_ejection_time(), in.base_ejection_time(), "base_ejection_time",
       &out->base_ejection_time);
  // Envoy: the larger of base_ejection_time and 300 s where nothing is said.
  out->max_ejection_time = std::max(out->max_ejection_time, out->base_ejection_time);
  time(in.has_max_ejection_time(), in.max_ejection_time(), "max_ejection_time",
       &out->max_ejection_time);
  const auto number = [&](bool has, uint32_t value, const char* field, uint32_t max, uint32_t* to) {
    if (has) {
      *to = check->Number(value, absl::StrCat(path, ".", field), 0, max);
    }
  };
  // What is enforced some of the time would be neither here nor there.
  const auto enforced = [&](bool has, uint32_t value, const char* field, bool unset) {
    if (has && value != 0 && value != 100) {
      check->Refuse(absl::StrCat(path, ".", field), "must be 0 or 100");
    }
    return has ? value == 100 : unset;
  };
  number(in.has_max_ejection_percent(), in.max_ejection_percent().value(), "max_ejection_percent",
         100, &out->max_ejection_percent);
  number(in.has_consecutive_5xx(), in.consecutive_5xx().value(), "consecutive_5xx", 1'000'000,
         &out->consecutive_5xx);
  if (!enforced(in.has_enforcing_consecutive_5xx(), in.enforcing_consecutive_5xx().value(),
                "enforcing_consecutive_5xx", true)) {
    out->consecutive_5xx = 0;
  }
  uint32_t gateway = 5;
  number(in.has_consecutive_gateway_failure(), in.consecutive_gateway_failure().value(),
         "consecutive_gateway_failure", 1'000'000, &gateway);
  out->consecutive_gateway_failure = enforced(in.has_enforcing_consecutive_gateway_failure(),
                                              in.enforcing_consecutive_gateway_failure().value(),
                                              "enforcing_consecutive_gateway_failure", false)
                                         ? gateway
                                         : 0;
  out->success_rate = enforced(in.has_enforcing_success_rate(), in.enforcing_success_rate().value(),
                               "enforcing_success_rate", true);
  number(in.has_success_rate_minimum_hosts(), in.success_rate_minimum_hosts().value(),
         "success_rate_minimum_hosts", 1'000'000, &out->success_rate_minimum_hosts);
  number(in.has_success_rate_request_volume(), in.success_rate_request_volume().value(),
         "success_rate_request_volume", 1'000'000, &out->success_rate_request_volume);
  number(in.has_success_rate_stdev_factor(), in.success_rate_stdev_factor().value(),
         "success_rate_stdev_factor", 1'000'000, &out->success_rate_stdev_factor);
}

void TranslateCircuitBreakers(const cluster::CircuitBreakers& in, const std::string& path,
                              FieldCheck* check, CircuitBreakers* out) {
  if (in.thresholds_size() > 1) {
    check->Refuse(absl::StrCat(path, ".thresholds"), "must be at most one");
    return;
  }
  if (in.thresholds().empty()) {
    return;
  }
  const cluster::CircuitBreakers::Thresholds& from = in.thresholds(0);
  if (from.has_max_connections()) {
    out->max_connections = from.max_connections().value();
  }
  if (from.has_max_pending_requests()) {
    out->max_pending_requests = from.max_pending_requests().value();
  }
  if (from.has_max_requests()) {
    out->max_requests = from.max_requests().value();
  }
  if (from.has_max_retries()) {
    out->max_retries = from.max_retries().value();
    // Envoy: without a budget max_retries is all there is.
    out->retry_budget_percent = 0;
  }
  if (from.has_retry_budget()) {
    out->retry_budget_percent = 20;
    if (from.retry_budget().has_budget_percent()) {
      out->retry_budget_percent =
          check->PerMillion(from.retry_budget().budget_percent(),
                            absl::StrCat(path, ".thresholds[0].retry_budget.budget_percent")) /
          10'000;
    }
    out->max_retries = from.retry_budget().has_min_retry_concurrency()
                           ? from.retry_budget().min_retry_concurrency().value()
                           : 3;
  }
}

void TranslatePool(const cluster::Cluster& in, const std::string& path, FieldCheck* check,
                   Cluster* out, bool* said) {
  for (const auto& [name, any] : in.typed_extension_protocol_options()) {
    const std::string where =
        absl::StrCat(path, ".typed_extension_protocol_options[", name.substr(0, 128), "]");
    Options options;
    if (name != xds::kHttpProtocolOptions) {
      check->Refuse(where, absl::StrCat("is not honoured; `", xds::kHttpProtocolOptions, "` is"));
      return;
    }
    if (absl::Status status = UnpackStrict(any, where, &options); !status.ok()) {
      check->Take(status);
      return;
    }
    const core::Http2ProtocolOptions* http2 = nullptr;
    switch (options.upstream_protocol_options_case()) {
      case Options::kExplicitHttpConfig:
        *said = true;
        out->protocol = options.explicit_http_config().has_http2_protocol_options()
                            ? AppProtocol::kHttp2
                            : AppProtocol::kHttp1;
        http2 = &options.explicit_http_config().http2_protocol_options();
        break;
      case Options::kUseDownstreamProtocolConfig:
        *said = true;
        out->protocol = AppProtocol::kAuto;
        http2 = &options.use_downstream_protocol_config().http2_protocol_options();
        break;
      case Options::UPSTREAM_PROTOCOL_OPTIONS_NOT_SET:
        break;
    }
    if (http2 != nullptr && http2->has_max_concurrent_streams()) {
      out->pool.max_concurrent_streams = check->Number(
          http2->max_concurrent_streams().value(),
          absl::StrCat(where, ".http2_protocol_options.max_concurrent_streams"), 1, 100'000);
    }
    const core::HttpProtocolOptions& common = options.common_http_protocol_options();
    const std::string common_path = absl::StrCat(where, ".common_http_protocol_options");
    if (common.has_idle_timeout()) {
      out->pool.idle_timeout =
          check->Duration(common.idle_timeout(), absl::StrCat(common_path, ".idle_timeout"),
                          milliseconds(1), kMaxDuration);
    }
    if (common.has_max_connection_duration()) {
      out->pool.max_connection_age = check->Duration(
          common.max_connection_duration(), absl::StrCat(common_path, ".max_connection_duration"),
          milliseconds(0), kMaxDuration);
    }
    if (common.has_max_requests_per_connection()) {
      out->pool.max_requests_per_connection = common.max_requests_per_connection().value();
    }
    if (common.has_max_headers_count()) {
      check->Refuse(absl::StrCat(common_path, ".max_headers_count"),
                    "is not honoured for connections to endpoints");
    }
  }
  if (in.preconnect_policy().has_per_upstream_preconnect_ratio()) {
    const double ratio = in.preconnect_policy().per_upstream_preconnect_ratio().value();
    if (!(ratio >= 1 && ratio <= 3)) {
      check->Refuse(absl::StrCat(path, ".preconnect_policy.per_upstream_preconnect_ratio"),
                    "must be 1 to 3");
      return;
    }
    out->pool.preconnect_percent = static_cast<uint32_t>(std::lround(ratio * 100));
  }
}

}  // namespace countersign::config
