#include "proxy/upstream/health/outlier_detector.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"

namespace countersign::upstream {

const char* EjectionCauseLabel(EjectionCause cause) {
  switch (cause) {
    case EjectionCause::kConsecutive5xx:
      return "consecutive_5xx";
    case EjectionCause::kConsecutiveGatewayFailure:
      return "consecutive_gateway_failure";
    case EjectionCause::kSuccessRate:
      return "success_rate";
  }
  return "";
}

OutlierDetector::OutlierDetector(event::Dispatcher& dispatcher, Owner& owner,
                                 const config::OutlierDetection& config)
    : dispatcher_(dispatcher),
      owner_(owner),
      config_(config),
      timer_(dispatcher.timers(), this,
             [](void* self) { static_cast<OutlierDetector*>(self)->OnInterval(); }) {}

void OutlierDetector::SetConfig(const config::OutlierDetection& config) {
  if (config == config_) return;
  config_ = config;
  if (config_.enabled) return;
  timer_.Cancel();
  for (const auto& host : owner_.judged_hosts()) {
    host->outlier = {};
    if (!host->ejected) continue;
    host->ejected = false;
    owner_.OnUnejected(*host);
  }
  ejected_ = 0;
}

void OutlierDetector::OnHostsChanged() {
  ejected_ = 0;
  for (const auto& host : owner_.judged_hosts()) ejected_ += host->ejected;
}

void OutlierDetector::Arm() {
  if (!timer_.armed()) timer_.Arm(std::max(config_.interval, std::chrono::milliseconds(1)));
}

void OutlierDetector::OnOutcome(Host& host, const Outcome& outcome) {
  if (!config_.enabled || host.removed) return;
  OutlierState& state = host.outlier;
  ++state.requests;
  Arm();
  if (!outcome.failed()) {
    ++state.successes;
    state.consecutive_5xx = state.consecutive_gateway_failures = 0;
    return;
  }
  ++state.consecutive_5xx;
  state.consecutive_gateway_failures =
      outcome.gateway_failure() ? state.consecutive_gateway_failures + 1 : 0;
  if (host.ejected) return;
  if (config_.consecutive_gateway_failure > 0 &&
      state.consecutive_gateway_failures >= config_.consecutive_gateway_failure) {
    return Eject(host, EjectionCause::kConsecutiveGatewayFailure,
                 absl::StrCat(state.consecutive_gateway_failures,
                              " gateway failures (502, 503, 504, or no answer) in a row"));
  }
  if (config_.consecutive_5xx > 0 && state.consecutive_5xx >= config_.consecutive_5xx) {
    Eject(host, EjectionCause::kConsecutive5xx,
          absl::StrCat(state.consecutive_5xx, " failures (5xx, or no answer) in a row"));
  }
}

void OutlierDetector::Eject(Host& host, EjectionCause cause, const std::string& why) {
  OutlierState& state = host.outlier;
  state.consecutive_5xx = state.consecutive_gateway_failures = 0;
  const uint64_t hosts = owner_.judged_hosts().size();
  if (ejected_ > 0 && (uint64_t{ejected_} + 1) * 100 > hosts * config_.max_ejection_percent) {
    return owner_.OnEjectionRefused(host, cause);
  }
  ++state.ejections;
  const std::chrono::milliseconds time =
      std::min(config_.base_ejection_time * state.ejections,
               std::max(config_.max_ejection_time, config_.base_ejection_time));
  state.ejected_until = dispatcher_.now() + time;
  host.ejected = true;
  ++ejected_;
  Arm();
  owner_.OnEjected(host, cause,
                   absl::StrFormat("for %.3g s, because of %s",
                                   std::chrono::duration<double>(time).count(), why));
}

void OutlierDetector::OnInterval() {
  const event::Instant now = dispatcher_.now();
  JudgeSuccessRates();
  bool busy = false;
  for (const auto& host : owner_.judged_hosts()) {
    OutlierState& state = host->outlier;
    if (host->ejected && now >= state.ejected_until) {
      host->ejected = false;
      --ejected_;
      state.consecutive_5xx = state.consecutive_gateway_failures = 0;
      owner_.OnUnejected(*host);
    } else if (!host->ejected && state.ejections > 0) {
      --state.ejections;
    }
    busy = busy || state.requests > 0 || state.ejections > 0 || host->ejected;
    state.requests = state.successes = 0;
  }
  if (busy) Arm();
}

void OutlierDetector::JudgeSuccessRates() {
  if (!config_.success_rate) return;
  struct Judged {
    Host* host;
    double rate;  // of a hundred
  };
  std::vector<Judged> judged;
  double sum = 0;
  for (const auto& host : owner_.judged_hosts()) {
    const OutlierState& state = host->outlier;
    if (host->ejected || state.requests == 0 ||
        state.requests < config_.success_rate_request_volume) {
      continue;
    }
    judged.push_back({host.get(), 100.0 * state.successes / state.requests});
    sum += judged.back().rate;
  }
  if (judged.empty() || judged.size() < config_.success_rate_minimum_hosts) return;
  const double mean = sum / static_cast<double>(judged.size());
  double variance = 0;
  for (const Judged& one : judged) variance += (one.rate - mean) * (one.rate - mean);
  variance /= static_cast<double>(judged.size());
  const double threshold =
      mean - std::sqrt(variance) * (config_.success_rate_stdev_factor / 1000.0);
  for (const Judged& one : judged) {
    if (one.rate >= threshold) continue;
    Eject(*one.host, EjectionCause::kSuccessRate,
          absl::StrFormat("a success rate of %.1f %% where the cluster's is %.1f %% and the least "
                          "allowed %.1f %%",
                          one.rate, mean, threshold));
  }
}

}  // namespace countersign::upstream
