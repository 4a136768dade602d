#include "control/registry/traffic_policy_checks.h"

#include <set>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "api/net/http_limits.h"

namespace countersign::control::registry {
namespace {

namespace api = mesh::v1alpha1;

constexpr int kMaxLocalities = 64;
constexpr absl::Duration kDay = absl::Hours(24);

constexpr absl::string_view kRetryOn[] = {
    "5xx",        "gateway-error",        "connect-failure", "refused-stream",
    "reset",      "reset-before-request", "retriable-4xx",   "retriable-status-codes",
    "cancelled",  "deadline-exceeded",    "internal",        "resource-exhausted",
    "unavailable"};

void CheckTarget(const api::PolicyTargetReference& target, FieldChecker* check) {
  if (!target.group().empty() && target.group() != "core") {
    check->Fail("spec.targetRef.group", "must be empty: Services are in the core group");
  }
  if (!target.kind().empty() && target.kind() != "Service") {
    check->Fail("spec.targetRef.kind", "must be Service");
  }
  check->DnsName(target.name(), "spec.targetRef.name");
  if (target.port() != 0) {
    check->Port(target.port(), "spec.targetRef.port");
    if (!target.section_name().empty()) {
      check->Fail("spec.targetRef.sectionName", "cannot stand beside port");
    }
  }
}

void CheckConsistentHash(const api::ConsistentHash& hash, FieldChecker* check) {
  const std::string field = "spec.loadBalancer.consistentHash";
  const int keys = !hash.http_header_name().empty() + hash.has_http_cookie() +
                   hash.use_source_ip() + !hash.http_query_parameter_name().empty();
  if (keys != 1) {
    check->Fail(field,
                "needs exactly one of httpHeaderName, httpCookie, useSourceIp, "
                "httpQueryParameterName");
  }
  if (!hash.http_header_name().empty()) {
    check->HeaderName(hash.http_header_name(), absl::StrCat(field, ".httpHeaderName"));
  }
  if (hash.has_http_cookie()) {
    check->HeaderName(hash.http_cookie().name(), absl::StrCat(field, ".httpCookie.name"));
    if (!hash.http_cookie().path().empty()) {
      check->Path(hash.http_cookie().path(), absl::StrCat(field, ".httpCookie.path"));
    }
    if (hash.http_cookie().has_ttl()) {
      check->Duration(hash.http_cookie().ttl(), absl::StrCat(field, ".httpCookie.ttl"),
                      absl::ZeroDuration(), 365 * kDay);
    }
  }
  if (hash.http_query_parameter_name().size() > 256) {
    check->Fail(absl::StrCat(field, ".httpQueryParameterName"), "must have at most 256 bytes");
  }
  if (hash.has_ring_hash() && hash.has_maglev()) {
    check->Fail(absl::StrCat(field, ".maglev"), "cannot stand beside ringHash");
  }
  check->Range(hash.ring_hash().minimum_ring_size(),
               absl::StrCat(field, ".ringHash.minimumRingSize"), 0, net::kMaxRing);
  if (const uint32_t size = hash.maglev().table_size(); size != 0) {
    check->Range(size, absl::StrCat(field, ".maglev.tableSize"), 2, net::kMaxMaglevTable);
    if (!net::IsPrime(size)) {
      check->Fail(absl::StrCat(field, ".maglev.tableSize"), "must be a prime");
    }
  }
}

void CheckLoadBalancer(const api::LoadBalancer& balancer, FieldChecker* check) {
  if (balancer.has_consistent_hash()) {
    if (balancer.simple() != api::LoadBalancer::UNSPECIFIED) {
      check->Fail("spec.loadBalancer.consistentHash", "cannot stand beside simple");
    }
    CheckConsistentHash(balancer.consistent_hash(), check);
  }
  const auto& localities = balancer.locality_lb_setting().priority();
  if (localities.size() > kMaxLocalities) {
    check->Fail("spec.loadBalancer.localityLbSetting.priority",
                absl::StrCat("has more than ", kMaxLocalities, " localities"));
  }
  std::set<std::string> seen;
  for (int i = 0; i < localities.size(); ++i) {
    const std::string field = absl::StrCat("spec.loadBalancer.localityLbSetting.priority[", i, "]");
    if (localities[i].empty()) {
      check->Fail(field, "is empty");
    }
    check->Locality(localities[i], field);
    if (!seen.insert(localities[i]).second) {
      check->Fail(field, "stands twice");
    }
  }
  if (balancer.has_warmup_duration_secs()) {
    check->Duration(balancer.warmup_duration_secs(), "spec.loadBalancer.warmupDurationSecs",
                    absl::ZeroDuration(), kDay);
    if (balancer.has_consistent_hash() || balancer.simple() == api::LoadBalancer::RANDOM ||
        balancer.simple() == api::LoadBalancer::PEAK_EWMA) {
      check->Fail("spec.loadBalancer.warmupDurationSecs",
                  "has no effect unless simple is LEAST_REQUEST or ROUND_ROBIN");
    }
  }
}

void CheckPool(const api::ConnectionPoolSettings& pool, FieldChecker* check) {
  if (pool.tcp().has_connect_timeout()) {
    check->Duration(pool.tcp().connect_timeout(), "spec.connectionPool.tcp.connectTimeout",
                    absl::Milliseconds(1), absl::Minutes(10));
  }
  const auto some = [&](bool has, uint32_t value, const char* field) {
    if (has) {
      check->Range(value, absl::StrCat("spec.connectionPool.", field), 1, 1'000'000'000);
    }
  };
  some(pool.tcp().has_max_connections(), pool.tcp().max_connections(), "tcp.maxConnections");
  const api::HTTPSettings& http = pool.http();
  some(http.has_http1_max_pending_requests(), http.http1_max_pending_requests(),
       "http.http1MaxPendingRequests");
  some(http.has_http2_max_requests(), http.http2_max_requests(), "http.http2MaxRequests");
  if (http.has_max_concurrent_streams()) {
    check->Range(http.max_concurrent_streams(), "spec.connectionPool.http.maxConcurrentStreams", 1,
                 100'000);
  }
  if (http.has_idle_timeout()) {
    check->Duration(http.idle_timeout(), "spec.connectionPool.http.idleTimeout",
                    absl::Milliseconds(1), 365 * kDay);
  }
  if (http.has_max_connection_duration()) {
    check->Duration(http.max_connection_duration(),
                    "spec.connectionPool.http.maxConnectionDuration", absl::Milliseconds(1),
                    365 * kDay);
  }
}

void CheckOutliers(const api::OutlierDetectionSettings& outlier, FieldChecker* check) {
  const auto time = [&](bool has, const google::protobuf::Duration& value, const char* field) {
    if (has) {
      check->Duration(value, absl::StrCat("spec.outlierDetection.", field), absl::Milliseconds(1),
                      365 * kDay);
    }
  };
  time(outlier.has_interval(), outlier.interval(), "interval");
  time(outlier.has_base_ejection_time(), outlier.base_ejection_time(), "baseEjectionTime");
  time(outlier.has_max_ejection_time(), outlier.max_ejection_time(), "maxEjectionTime");
  check->Percent(outlier.max_ejection_percent(), "spec.outlierDetection.maxEjectionPercent");
  check->Percent(outlier.min_health_percent(), "spec.outlierDetection.minHealthPercent");
  check->Range(outlier.consecutive_5xx_errors(), "spec.outlierDetection.consecutive5xxErrors", 0,
               1'000'000);
  check->Range(outlier.consecutive_gateway_errors(),
               "spec.outlierDetection.consecutiveGatewayErrors", 0, 1'000'000);
}

void CheckHealthCheck(const api::HealthCheckSettings& health, const std::string& field,
                      FieldChecker* check) {
  if (health.has_http() + health.has_grpc() + health.has_tcp() != 1) {
    check->Fail(field, "needs exactly one of http, grpc, tcp");
  }
  if (health.has_timeout()) {
    check->Duration(health.timeout(), absl::StrCat(field, ".timeout"), absl::Milliseconds(10),
                    kDay);
  }
  if (health.has_interval()) {
    check->Duration(health.interval(), absl::StrCat(field, ".interval"), absl::Milliseconds(10),
                    kDay);
  }
  check->Range(health.unhealthy_threshold(), absl::StrCat(field, ".unhealthyThreshold"), 0, 1000);
  check->Range(health.healthy_threshold(), absl::StrCat(field, ".healthyThreshold"), 0, 1000);
  if (health.has_http()) {
    const std::string& path = health.http().path();
    check->Path(path.substr(0, path.find('?')), absl::StrCat(field, ".http.path"));
    check->HeaderValue(path, absl::StrCat(field, ".http.path"));
    check->HeaderValue(health.http().host(), absl::StrCat(field, ".http.host"));
  }
}

void CheckRetries(const api::RetrySettings& retries, FieldChecker* check) {
  check->Range(retries.attempts(), "spec.retries.attempts", 0, net::kMaxRetries);
  if (retries.has_per_try_timeout()) {
    check->Duration(retries.per_try_timeout(), "spec.retries.perTryTimeout", absl::Milliseconds(1),
                    kDay);
  }
  if (retries.has_backoff()) {
    check->Duration(retries.backoff(), "spec.retries.backoff", absl::Milliseconds(1),
                    absl::Hours(1));
  }
  int statuses = 0;
  for (absl::string_view on : absl::StrSplit(retries.retry_on(), ',', absl::SkipWhitespace())) {
    on = absl::StripAsciiWhitespace(on);
    uint32_t status = 0;
    if (absl::SimpleAtoi(on, &status)) {
      check->Range(status, "spec.retries.retryOn", 400, 599);
      ++statuses;
      continue;
    }
    bool known = false;
    for (absl::string_view name : kRetryOn) {
      known |= on == name;
    }
    if (!known) {
      std::string all;
      for (absl::string_view name : kRetryOn) {
        absl::StrAppend(&all, all.empty() ? "" : ", ", name);
      }
      check->Fail("spec.retries.retryOn",
                  absl::StrCat("`", on.substr(0, 64), "` is no condition; there are: ", all,
                               ", and statuses"));
    }
  }
  if (statuses > net::kMaxStatusCodes) {
    check->Fail("spec.retries.retryOn",
                absl::StrCat("has more than ", net::kMaxStatusCodes, " statuses"));
  }
}

void CheckFault(const api::FaultSettings& fault, FieldChecker* check) {
  if (fault.has_delay()) {
    check->Percent(fault.delay().percentage().value(), "spec.fault.delay.percentage.value");
    check->Duration(fault.delay().fixed_delay(), "spec.fault.delay.fixedDelay",
                    absl::Milliseconds(1), absl::Hours(1));
  }
  if (fault.has_abort()) {
    const api::FaultAbort& abort = fault.abort();
    check->Percent(abort.percentage().value(), "spec.fault.abort.percentage.value");
    if ((abort.http_status() != 0) == abort.has_grpc_status()) {
      check->Fail("spec.fault.abort", "needs one of httpStatus and grpcStatus");
    } else if (abort.has_grpc_status()) {
      check->Range(abort.grpc_status(), "spec.fault.abort.grpcStatus", 0, 16);
    } else {
      check->Range(abort.http_status(), "spec.fault.abort.httpStatus", 200, 599);
    }
  }
}

}  // namespace

void CheckTrafficPolicy(const api::TrafficPolicySpec& spec, FieldChecker* check) {
  CheckTarget(spec.target_ref(), check);
  CheckLoadBalancer(spec.load_balancer(), check);
  CheckPool(spec.connection_pool(), check);
  CheckOutliers(spec.outlier_detection(), check);
  if (spec.health_checks_size() > net::kMaxHealthChecks) {
    check->Fail("spec.healthChecks",
                absl::StrCat("has more than ", net::kMaxHealthChecks, " checks"));
    return;
  }
  for (int i = 0; i < spec.health_checks_size(); ++i) {
    CheckHealthCheck(spec.health_checks(i), absl::StrCat("spec.healthChecks[", i, "]"), check);
  }
  CheckRetries(spec.retries(), check);
  const auto time = [&](bool has, const google::protobuf::Duration& value, const char* field) {
    if (has) {
      check->Duration(value, absl::StrCat("spec.", field), absl::ZeroDuration(), kDay);
    }
  };
  time(spec.has_timeout(), spec.timeout(), "timeout");
  time(spec.has_idle_timeout(), spec.idle_timeout(), "idleTimeout");
  time(spec.has_max_grpc_timeout(), spec.max_grpc_timeout(), "maxGrpcTimeout");
  CheckFault(spec.fault(), check);
}

}  // namespace countersign::control::registry
