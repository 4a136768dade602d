#include "control/compile/cluster_policy.h"

#include <string>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "api/xds/least_request.pb.h"
#include "api/xds/names.h"
#include "api/xds/peak_ewma.pb.h"

namespace countersign::control::compile {
namespace {

namespace api = mesh::v1alpha1;
namespace cluster = ::envoy::config::cluster::v3;
namespace core = ::envoy::config::core::v3;

// Envoy's, which it gives no default.
constexpr int kHealthTimeoutSeconds = 1;
constexpr int kHealthIntervalSeconds = 10;
constexpr uint32_t kUnhealthyThreshold = 3;
constexpr uint32_t kHealthyThreshold = 2;

void ApplyBalancer(const api::LoadBalancer& balancer, cluster::Cluster* out) {
  using Simple = api::LoadBalancer;
  if (balancer.has_consistent_hash()) {
    const api::ConsistentHash& hash = balancer.consistent_hash();
    if (hash.has_maglev()) {
      out->set_lb_policy(cluster::Cluster::MAGLEV);
      if (hash.maglev().table_size() != 0) {
        out->mutable_maglev_lb_config()->mutable_table_size()->set_value(
            hash.maglev().table_size());
      }
    } else {
      out->set_lb_policy(cluster::Cluster::RING_HASH);
      if (hash.ring_hash().minimum_ring_size() != 0) {
        out->mutable_ring_hash_lb_config()->mutable_minimum_ring_size()->set_value(
            hash.ring_hash().minimum_ring_size());
      }
    }
  } else {
    switch (balancer.simple()) {
      case Simple::ROUND_ROBIN:
        out->set_lb_policy(cluster::Cluster::ROUND_ROBIN);
        break;
      case Simple::RANDOM:
        out->set_lb_policy(cluster::Cluster::RANDOM);
        break;
      case Simple::PEAK_EWMA: {
        // Whoever has no Peak EWMA takes the next of the list.
        auto* ewma =
            out->mutable_load_balancing_policy()->add_policies()->mutable_typed_extension_config();
        ewma->set_name(xds::kPeakEwmaPolicy);
        ewma->mutable_typed_config()->PackFrom(
            envoy::extensions::load_balancing_policies::peak_ewma::v3alpha::PeakEwma());
        auto* least =
            out->mutable_load_balancing_policy()->add_policies()->mutable_typed_extension_config();
        least->set_name(xds::kLeastRequestPolicy);
        least->mutable_typed_config()->PackFrom(
            envoy::extensions::load_balancing_policies::least_request::v3::LeastRequest());
        break;
      }
      default:
        break;
    }
  }
  if (balancer.has_warmup_duration_secs()) {
    auto* slow_start = balancer.simple() == Simple::ROUND_ROBIN
                           ? out->mutable_round_robin_lb_config()->mutable_slow_start_config()
                           : out->mutable_least_request_lb_config()->mutable_slow_start_config();
    *slow_start->mutable_slow_start_window() = balancer.warmup_duration_secs();
  }
  const api::LocalityLbSetting& locality = balancer.locality_lb_setting();
  if (locality.has_enabled()) {
    out->mutable_common_lb_config()
        ->mutable_zone_aware_lb_config()
        ->mutable_routing_enabled()
        ->set_value(locality.enabled() ? 100 : 0);
  }
}

void ApplyLimits(const api::ConnectionPoolSettings& pool, cluster::Cluster* out) {
  if (pool.tcp().has_connect_timeout()) {
    *out->mutable_connect_timeout() = pool.tcp().connect_timeout();
  }
  const api::HTTPSettings& http = pool.http();
  if (!pool.tcp().has_max_connections() && !http.has_http1_max_pending_requests() &&
      !http.has_http2_max_requests() && !http.has_max_retries()) {
    return;
  }
  cluster::CircuitBreakers::Thresholds* limits = out->mutable_circuit_breakers()->add_thresholds();
  if (pool.tcp().has_max_connections()) {
    limits->mutable_max_connections()->set_value(pool.tcp().max_connections());
  }
  if (http.has_http1_max_pending_requests()) {
    limits->mutable_max_pending_requests()->set_value(http.http1_max_pending_requests());
  }
  if (http.has_http2_max_requests()) {
    limits->mutable_max_requests()->set_value(http.http2_max_requests());
  }
  if (http.has_max_retries()) {
    limits->mutable_max_retries()->set_value(http.max_retries());
  }
}

void ApplyOutliers(const api::OutlierDetectionSettings& in, cluster::Cluster* out) {
  cluster::OutlierDetection* outlier = out->mutable_outlier_detection();
  if (in.has_consecutive_5xx_errors()) {
    const uint32_t failures = in.consecutive_5xx_errors();
    if (failures > 0) {
      outlier->mutable_consecutive_5xx()->set_value(failures);
    }
    outlier->mutable_enforcing_consecutive_5xx()->set_value(failures > 0 ? 100 : 0);
  }
  if (in.consecutive_gateway_errors() > 0) {
    outlier->mutable_consecutive_gateway_failure()->set_value(in.consecutive_gateway_errors());
    outlier->mutable_enforcing_consecutive_gateway_failure()->set_value(100);
  }
  if (in.has_interval()) {
    *outlier->mutable_interval() = in.interval();
  }
  if (in.has_base_ejection_time()) {
    *outlier->mutable_base_ejection_time() = in.base_ejection_time();
  }
  if (in.has_max_ejection_time()) {
    *outlier->mutable_max_ejection_time() = in.max_ejection_time();
  }
  if (in.has_max_ejection_percent()) {
    outlier->mutable_max_ejection_percent()->set_value(in.max_ejection_percent());
  }
  if (in.has_success_rate()) {
    outlier->mutable_enforcing_success_rate()->set_value(in.success_rate() ? 100 : 0);
  }
  if (in.has_min_health_percent()) {
    out->mutable_common_lb_config()->mutable_healthy_panic_threshold()->set_value(
        in.min_health_percent());
  }
}

void AddHealthCheck(const api::HealthCheckSettings& in, cluster::Cluster* out) {
  core::HealthCheck* check = out->add_health_checks();
  if (in.has_timeout()) {
    *check->mutable_timeout() = in.timeout();
  } else {
    check->mutable_timeout()->set_seconds(kHealthTimeoutSeconds);
  }
  if (in.has_interval()) {
    *check->mutable_interval() = in.interval();
  } else {
    check->mutable_interval()->set_seconds(kHealthIntervalSeconds);
  }
  check->mutable_unhealthy_threshold()->set_value(
      in.unhealthy_threshold() == 0 ? kUnhealthyThreshold : in.unhealthy_threshold());
  check->mutable_healthy_threshold()->set_value(
      in.healthy_threshold() == 0 ? kHealthyThreshold : in.healthy_threshold());
  if (in.has_http()) {
    check->mutable_http_health_check()->set_path(in.http().path());
    check->mutable_http_health_check()->set_host(in.http().host());
    auto* statuses = check->mutable_http_health_check()->add_expected_statuses();
    statuses->set_start(200);
    statuses->set_end(300);
  } else if (in.has_grpc()) {
    check->mutable_grpc_health_check()->set_service_name(in.grpc().service_name());
  } else {
    check->mutable_tcp_health_check();
  }
}

}  // namespace

void ApplyPolicy(const api::TrafficPolicySpec& policy, cluster::Cluster* out) {
  ApplyBalancer(policy.load_balancer(), out);
  ApplyLimits(policy.connection_pool(), out);
  if (policy.has_outlier_detection()) {
    ApplyOutliers(policy.outlier_detection(), out);
  }
  for (const api::HealthCheckSettings& check : policy.health_checks()) {
    AddHealthCheck(check, out);
  }
}

void ApplyPolicy(const api::TrafficPolicySpec& policy,
                 envoy::extensions::upstreams::http::v3::HttpProtocolOptions* options) {
  const api::HTTPSettings& http = policy.connection_pool().http();
  if (http.has_max_requests_per_connection()) {
    options->mutable_common_http_protocol_options()
        ->mutable_max_requests_per_connection()
        ->set_value(http.max_requests_per_connection());
  }
  if (http.has_idle_timeout()) {
    *options->mutable_common_http_protocol_options()->mutable_idle_timeout() = http.idle_timeout();
  }
  if (http.has_max_connection_duration()) {
    *options->mutable_common_http_protocol_options()->mutable_max_connection_duration() =
        http.max_connection_duration();
  }
  if (http.has_max_concurrent_streams()) {
    core::Http2ProtocolOptions* http2 =
        options->has_use_downstream_protocol_config()
            ? options->mutable_use_downstream_protocol_config()->mutable_http2_protocol_options()
        : options->explicit_http_config().has_http2_protocol_options()
            ? options->mutable_explicit_http_config()->mutable_http2_protocol_options()
            : nullptr;
    if (http2 != nullptr) {
      http2->mutable_max_concurrent_streams()->set_value(http.max_concurrent_streams());
    }
  }
}

uint32_t PriorityOf(const api::TrafficPolicySpec* policy, const registry::Locality& locality) {
  if (policy == nullptr) {
    return 0;
  }
  const auto& order = policy->load_balancer().locality_lb_setting().priority();
  const std::string where = absl::StrCat(locality.ToString(), "/");
  for (int i = 0; i < order.size(); ++i) {
    if (absl::StartsWith(where, absl::StrCat(order[i], "/"))) {
      return static_cast<uint32_t>(i);
    }
  }
  return static_cast<uint32_t>(order.size());
}

}  // namespace countersign::control::compile
