#include "proxy/upstream/health/health_checker.h"

#include <algorithm>
#include <utility>

namespace countersign::upstream {

void HealthChecker::Update(const config::Cluster& config,
                           absl::Span<const std::unique_ptr<Host>> hosts) {
  if (config.health_checks != config_) {
    checks_.clear();
    config_ = config.health_checks;
  }
  auto old = std::move(checks_);
  checks_.clear();
  for (const auto& host : hosts) {
    if (config_.empty()) {
      host->failed_check = false;
      continue;
    }
    const auto known = old.find(host.get());
    if (known != old.end()) {
      checks_.emplace(host.get(), std::move(known->second));
      continue;
    }
    const config::Endpoint& endpoint = host->endpoint;
    const bool mesh_http =
        endpoint.transport == config::EndpointTransport::kTls ||
        (endpoint.transport == config::EndpointTransport::kHbone && endpoint.mesh_http);
    const bool http2 = mesh_http || config.protocol == config::AppProtocol::kHttp2;
    std::vector<std::unique_ptr<HostCheck>>& checks = checks_[host.get()];
    for (const config::HealthCheck& check : config_) {
      checks.push_back(std::make_unique<HostCheck>(shared_, static_cast<HostCheck::Owner&>(*this),
                                                   *host, config, check, http2));
    }
  }
}

void HealthChecker::OnCheckChanged(Host& host, const std::string& sentence) {
  const auto& checks = checks_.find(&host)->second;
  const bool failed =
      std::any_of(checks.begin(), checks.end(), [](const auto& check) { return check->failed(); });
  if (failed == host.failed_check) return;
  host.failed_check = failed;
  owner_.OnHealthChanged(host, sentence);
}

}  // namespace countersign::upstream
