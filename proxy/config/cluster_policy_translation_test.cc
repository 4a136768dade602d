// What the proxy takes of a cluster's balancing, health checks, outliers, limits and pools.
#include "proxy/config/cluster_policy_translation.h"

#include <string>

#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"
#include "proxy/config/cluster_translation.h"

namespace countersign::config {
namespace {

using std::chrono::milliseconds;
using ::testing::HasSubstr;

absl::StatusOr<ClusterResource> Translate(const std::string& text) {
  envoy::config::cluster::v3::Cluster message;
  EXPECT_TRUE(
      google::protobuf::TextFormat::ParseFromString("name: \"c\" type: STATIC " + text, &message))
      << text;
  return TranslateCluster(message);
}
Cluster One(const std::string& text) {
  const auto cluster = Translate(text);
  EXPECT_TRUE(cluster.ok()) << cluster.status();
  return cluster.ok() ? cluster->cluster : Cluster();
}
std::string Why(const std::string& text) {
  const auto cluster = Translate(text);
  return cluster.ok() ? "" : std::string(cluster.status().message());
}

TEST(ClusterPolicyTranslationTest, EveryBalancerIsHonoured) {
  EXPECT_EQ(One("").lb_policy, LbPolicy::kRoundRobin);  // Envoy's default
  EXPECT_EQ(One("lb_policy: LEAST_REQUEST").lb_policy, LbPolicy::kLeastRequest);
  EXPECT_EQ(One("lb_policy: RANDOM").lb_policy, LbPolicy::kRandom);
  const Cluster ring =
      One("lb_policy: RING_HASH ring_hash_lb_config { minimum_ring_size { value: 10 } "
          "maximum_ring_size { value: 20 } }");
  EXPECT_EQ(ring.lb_policy, LbPolicy::kRingHash);
  EXPECT_EQ(ring.ring_minimum, 10);
  EXPECT_EQ(ring.ring_maximum, 20);
  EXPECT_EQ(One("lb_policy: MAGLEV maglev_lb_config { table_size { value: 1009 } }").maglev_table,
            1009);
  const Cluster ewma = One(
      "load_balancing_policy { policies { typed_extension_config { typed_config { "
      "[type.googleapis.com/envoy.extensions.load_balancing_policies.peak_ewma.v3alpha.PeakEwma] "
      "{ decay_time { seconds: 2 } } } } } policies { typed_extension_config { typed_config { "
      "[type.googleapis.com/"
      "envoy.extensions.load_balancing_policies.least_request.v3.LeastRequest] {} } } } }");
  EXPECT_EQ(ewma.lb_policy, LbPolicy::kPeakEwma);
  EXPECT_EQ(ewma.ewma_decay, milliseconds(2000));
  const Cluster least = One(
      "lb_policy: LEAST_REQUEST least_request_lb_config { choice_count { value: 3 } "
      "slow_start_config { slow_start_window { seconds: 30 } aggression { default_value: 1.5 "
      "runtime_key: \"x\" } min_weight_percent { value: 5 } } } common_lb_config { "
      "healthy_panic_threshold { value: 30 } zone_aware_lb_config { routing_enabled { value: 0 } } "
      "}");
  EXPECT_EQ(least.choice_count, 3);
  EXPECT_EQ(least.slow_start, milliseconds(30'000));
  EXPECT_EQ(least.slow_start_aggression, 1.5);
  EXPECT_EQ(least.slow_start_min_weight_percent, 5);
  EXPECT_EQ(least.panic_percent, 30);
  EXPECT_FALSE(least.prefer_locality);
}

TEST(ClusterPolicyTranslationTest, BalancersAreCheckedByField) {
  EXPECT_THAT(Why("maglev_lb_config { table_size { value: 1000 } }"),
              HasSubstr("cluster `c`.maglev_lb_config.table_size: must be a prime"));
  EXPECT_THAT(Why("maglev_lb_config { table_size { value: 5000077 } }"),
              HasSubstr("table_size: must be 2 to 5000011"));
  EXPECT_THAT(Why("ring_hash_lb_config { minimum_ring_size { value: 9000000 } }"),
              HasSubstr("minimum_ring_size: must be"));
  EXPECT_THAT(Why("ring_hash_lb_config { minimum_ring_size { value: 20 } maximum_ring_size { "
                  "value: 10 } }"),
              HasSubstr("maximum_ring_size: must be 20 to"));
  EXPECT_THAT(Why("least_request_lb_config { choice_count { value: 1 } }"),
              HasSubstr("choice_count: must be 2 to 100"));
  EXPECT_THAT(Why("round_robin_lb_config { slow_start_config { aggression { } } }"),
              HasSubstr("aggression.default_value: must be above 0"));
  EXPECT_THAT(Why("common_lb_config { healthy_panic_threshold { value: -1 } }"),
              HasSubstr("healthy_panic_threshold.value: must be 0 to 100"));
  EXPECT_THAT(Why("common_lb_config { zone_aware_lb_config { routing_enabled { value: 50 } } }"),
              HasSubstr("routing_enabled: must be 0 or 100"));
}

TEST(ClusterPolicyTranslationTest, HealthChecksAreOfThreeKinds) {
  const std::string common =
      "timeout { seconds: 1 } interval { seconds: 5 } unhealthy_threshold { value: 2 } "
      "healthy_threshold { value: 1 } ";
  const Cluster cluster = One(
      "health_checks {" + common +
      "http_health_check { path: \"/z?x=1\" host: \"h\" expected_statuses { start: 200 end: 400 } "
      "} } health_checks {" +
      common + "grpc_health_check { service_name: \"s\" } } health_checks {" + common +
      "interval_jitter { } tcp_health_check {} }");
  ASSERT_EQ(cluster.health_checks.size(), 3);
  EXPECT_EQ(cluster.health_checks[0].kind, HealthCheck::Kind::kHttp);
  EXPECT_EQ(cluster.health_checks[0].status_end, 400);
  EXPECT_EQ(cluster.health_checks[0].interval, milliseconds(5000));
  EXPECT_EQ(cluster.health_checks[0].unhealthy_threshold, 2);
  EXPECT_EQ(cluster.health_checks[1].grpc_service, "s");
  EXPECT_EQ(cluster.health_checks[2].interval_jitter, milliseconds(0));
  EXPECT_EQ(One("health_checks {" + common + "http_health_check { path: \"/\" } }")
                .health_checks[0]
                .status_end,
            201);
  const auto why = [&](const std::string& text) { return Why("health_checks {" + text + "}"); };
  EXPECT_THAT(why(common), HasSubstr("health_checks[0]: needs http_health_check"));
  EXPECT_THAT(why("tcp_health_check {}"), HasSubstr("health_checks[0].timeout: must be 10 ms"));
  EXPECT_THAT(why("timeout { seconds: 1 } interval { seconds: 1 } tcp_health_check {}"),
              HasSubstr("unhealthy_threshold: must be 1"));
  EXPECT_THAT(why(common + "http_health_check { path: \"z\" }"),
              HasSubstr("http_health_check.path: must be a path"));
  EXPECT_THAT(why(common + "http_health_check { path: \"/\" host: \"a\\nb\" }"),
              HasSubstr("http_health_check.host: is no host"));
  EXPECT_THAT(why(common + "http_health_check { path: \"/\" expected_statuses { start: 300 end: "
                           "200 } }"),
              HasSubstr("expected_statuses[0]: must be"));
  EXPECT_THAT(why(common + "http_health_check { path: \"/\" expected_statuses {} "
                           "expected_statuses {} }"),
              HasSubstr("expected_statuses: must be at most one range"));
}

TEST(ClusterPolicyTranslationTest, OutliersAreJudgedAsEnvoyDoes) {
  EXPECT_FALSE(One("").outlier.enabled);
  const OutlierDetection defaults = One("outlier_detection {}").outlier;
  EXPECT_TRUE(defaults.enabled);
  EXPECT_EQ(defaults.consecutive_5xx, 5);
  EXPECT_EQ(defaults.consecutive_gateway_failure, 0);  // enforced 0 % by default
  EXPECT_TRUE(defaults.success_rate);
  const OutlierDetection said =
      One("outlier_detection { consecutive_5xx { value: 3 } enforcing_consecutive_5xx { value: 0 } "
          "consecutive_gateway_failure { value: 2 } enforcing_consecutive_gateway_failure { value: "
          "100 } interval { seconds: 1 } base_ejection_time { seconds: 400 } "
          "max_ejection_percent { value: 60 } enforcing_success_rate { value: 0 } "
          "success_rate_minimum_hosts { value: 2 } success_rate_request_volume { value: 9 } "
          "success_rate_stdev_factor { value: 1000 } }")
          .outlier;
  EXPECT_EQ(said.consecutive_5xx, 0);
  EXPECT_EQ(said.consecutive_gateway_failure, 2);
  EXPECT_EQ(said.interval, milliseconds(1000));
  EXPECT_EQ(said.max_ejection_time, milliseconds(400'000));
  EXPECT_EQ(said.max_ejection_percent, 60);
  EXPECT_FALSE(said.success_rate);
  EXPECT_EQ(said.success_rate_minimum_hosts, 2);
  EXPECT_EQ(said.success_rate_request_volume, 9);
  EXPECT_EQ(said.success_rate_stdev_factor, 1000);
  EXPECT_THAT(Why("outlier_detection { enforcing_success_rate { value: 50 } }"),
              HasSubstr("outlier_detection.enforcing_success_rate: must be 0 or 100"));
  EXPECT_THAT(Why("outlier_detection { max_ejection_percent { value: 101 } }"),
              HasSubstr("max_ejection_percent: must be 0 to 100"));
  EXPECT_THAT(Why("outlier_detection { interval {} }"), HasSubstr("interval: must be 1 ms"));
}

TEST(ClusterPolicyTranslationTest, LimitsAndRetryBudgets) {
  const CircuitBreakers limits =
      One("circuit_breakers { thresholds { max_connections { value: 1 } max_pending_requests { "
          "value: 2 } max_requests { value: 3 } max_retries { value: 4 } } }")
          .breakers;
  EXPECT_EQ(limits.max_connections, 1);
  EXPECT_EQ(limits.max_pending_requests, 2);
  EXPECT_EQ(limits.max_requests, 3);
  EXPECT_EQ(limits.max_retries, 4);
  EXPECT_EQ(limits.retry_budget_percent, 0);
  const CircuitBreakers budget =
      One("circuit_breakers { thresholds { retry_budget { budget_percent { value: 25 } "
          "min_retry_concurrency { value: 7 } } } }")
          .breakers;
  EXPECT_EQ(budget.retry_budget_percent, 25);
  EXPECT_EQ(budget.max_retries, 7);
  EXPECT_THAT(Why("circuit_breakers { thresholds {} thresholds {} }"),
              HasSubstr("circuit_breakers.thresholds: must be at most one"));
}

std::string Options(const std::string& text) {
  return "typed_extension_protocol_options { key: "
         "\"envoy.extensions.upstreams.http.v3.HttpProtocolOptions\" value { "
         "[type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions] {" +
         text + "} } }";
}

TEST(ClusterPolicyTranslationTest, PoolsSayWhatIsSpokenAndForHowLong) {
  const auto http2 = Translate(
      Options("explicit_http_config { http2_protocol_options { max_concurrent_streams { value: 9 } "
              "} } common_http_protocol_options { idle_timeout { seconds: 1 } "
              "max_connection_duration { seconds: 2 } max_requests_per_connection { value: 3 } }") +
      "preconnect_policy { per_upstream_preconnect_ratio { value: 1.5 } }");
  ASSERT_TRUE(http2.ok()) << http2.status();
  EXPECT_TRUE(http2->protocol_said);
  EXPECT_EQ(http2->cluster.protocol, AppProtocol::kHttp2);
  EXPECT_EQ(http2->cluster.pool.max_concurrent_streams, 9);
  EXPECT_EQ(http2->cluster.pool.idle_timeout, milliseconds(1000));
  EXPECT_EQ(http2->cluster.pool.max_connection_age, milliseconds(2000));
  EXPECT_EQ(http2->cluster.pool.max_requests_per_connection, 3);
  EXPECT_EQ(http2->cluster.pool.preconnect_percent, 150);
  EXPECT_EQ(One(Options("explicit_http_config { http_protocol_options {} }")).protocol,
            AppProtocol::kHttp1);
  EXPECT_EQ(One(Options("use_downstream_protocol_config {}")).protocol, AppProtocol::kAuto);
  EXPECT_FALSE(Translate("")->protocol_said);
  EXPECT_THAT(Why("typed_extension_protocol_options { key: \"x\" value {} }"),
              HasSubstr("typed_extension_protocol_options[x]: is not honoured"));
  EXPECT_THAT(Why(Options("common_http_protocol_options { max_headers_count { value: 1 } }")),
              HasSubstr("max_headers_count: is not honoured"));
  EXPECT_THAT(Why("preconnect_policy { per_upstream_preconnect_ratio { value: 4 } }"),
              HasSubstr("per_upstream_preconnect_ratio: must be 1 to 3"));
  EXPECT_THAT(Why("metadata { filter_metadata { key: \"countersign\" value { fields { key: "
                  "\"protocol\" value { string_value: \"quic\" } } } } }"),
              HasSubstr("metadata.countersign.protocol: must be `auto`, `tcp`, `http` or `http2`"));
}

TEST(ClusterPolicyTranslationTest, EndpointsHavePrioritiesAndLocalities) {
  envoy::config::endpoint::v3::ClusterLoadAssignment message;
  const std::string endpoint =
      "lb_endpoints { endpoint { address { socket_address { address: \"10.0.0.1\" port_value: 80 } "
      "} } health_status: DEGRADED }";
  ASSERT_TRUE(google::protobuf::TextFormat::ParseFromString(
      "cluster_name: \"c\" policy { overprovisioning_factor { value: 200 } } endpoints { priority: "
      "2 locality { region: \"eu\" zone: \"a\" sub_zone: \"1\" } " +
          endpoint + "}",
      &message));
  const auto endpoints = TranslateEndpoints(message);
  ASSERT_TRUE(endpoints.ok()) << endpoints.status();
  EXPECT_EQ(endpoints->endpoints[0].endpoint.priority, 2);
  EXPECT_EQ(endpoints->endpoints[0].endpoint.locality, (Locality{"eu", "a", "1"}));
  EXPECT_FALSE(endpoints->endpoints[0].endpoint.healthy);
  EXPECT_EQ(AssembleCluster(*Translate(""), *endpoints)->overprovisioning_percent, 200);
  message.mutable_endpoints(0)->set_priority(129);
  EXPECT_THAT(std::string(TranslateEndpoints(message).status().message()),
              HasSubstr("endpoints[0].priority: must be 0 to 128"));
  message.mutable_policy()->mutable_overprovisioning_factor()->set_value(50);
  EXPECT_THAT(std::string(TranslateEndpoints(message).status().message()),
              HasSubstr("overprovisioning_factor: must be 100 to 10000"));
}

}  // namespace
}  // namespace countersign::config
