#include "proxy/upstream/cluster_stats.h"

#include <utility>

#include "proxy/stats/families.h"

namespace countersign::upstream {
namespace {

constexpr const char* kHostStates[] = {"all", "usable", "ejected", "failed_check"};

// Of each RequestEvent, in their order.
struct Series {
  const stats::Family& family;
  const char* label;  // beside the cluster's; null: none
};
constexpr Series kRequestSeries[] = {
    {stats::kClusterRetries, nullptr},        {stats::kClusterRetriesSucceeded, nullptr},
    {stats::kClusterRetriesRefused, "limit"}, {stats::kClusterRetriesRefused, "overflow"},
    {stats::kClusterRetriesRefused, "body"},  {stats::kClusterMirrored, "sent"},
    {stats::kClusterMirrored, "not_reached"}, {stats::kClusterMirrored, "too_large"},
    {stats::kClusterMirrored, "limit"},       {stats::kClusterFaults, "delay"},
    {stats::kClusterFaults, "abort"},
};
static_assert(sizeof kRequestSeries / sizeof kRequestSeries[0] == kRequestEvents);

}  // namespace

ClusterStats::ClusterStats(stats::Registry& registry, std::string cluster)
    : registry_(registry),
      cluster_(std::move(cluster)),
      connections_(registry.Get(stats::kClusterConnections, {cluster_})) {
  for (size_t i = 0; i < 4; ++i) {
    hosts_[i] = &registry.Get(stats::kClusterHosts, {cluster_, kHostStates[i]});
  }
}

// Each look-up takes a lock and happens on events that are rare beside requests.
void ClusterStats::Count(const stats::Family& family, absl::string_view label) {
  registry_.Get(family, {cluster_, label}).Add(1);
  used_.insert({&family, std::string(label)});
}

void ClusterStats::OnConnectionOpened() {
  if (opened_ == nullptr) opened_ = &registry_.Get(stats::kClusterConnectionsOpened, {cluster_});
  opened_->Add(1);
  connections_.Add(1);
}

void ClusterStats::OnConnectionEnded(bool opened, buffer::CloseReason reason) {
  if (opened) connections_.Sub(1);
  if (!opened && reason != buffer::CloseReason::kFinished) {
    Count(stats::kClusterConnectFailures, buffer::CloseReasonLabel(reason));
  }
}

void ClusterStats::OnOverflow(CircuitBreakers::Kind breaker) {
  stats::Cell*& cell = overflows_[static_cast<size_t>(breaker)];
  if (cell == nullptr) {
    cell = &registry_.Get(stats::kClusterOverflow, {cluster_, CircuitBreakers::Label(breaker)});
    used_.insert({&stats::kClusterOverflow, CircuitBreakers::Label(breaker)});
  }
  cell->Add(1);
}

void ClusterStats::OnEjected(EjectionCause cause) {
  Count(stats::kClusterEjections, EjectionCauseLabel(cause));
}

void ClusterStats::OnEjectionRefused(EjectionCause cause) {
  Count(stats::kClusterEjectionsRefused, EjectionCauseLabel(cause));
}

void ClusterStats::OnChecked(bool passed) {
  Count(stats::kClusterHealthChecks, passed ? "passed" : "failed");
}

void ClusterStats::OnRequestEvent(RequestEvent event) {
  stats::Cell*& cell = request_events_[static_cast<size_t>(event)];
  if (cell == nullptr) {
    const Series& series = kRequestSeries[static_cast<size_t>(event)];
    cell = series.label == nullptr ? &registry_.Get(series.family, {cluster_})
                                   : &registry_.Get(series.family, {cluster_, series.label});
  }
  cell->Add(1);
}

void ClusterStats::SetHosts(size_t all, size_t usable, size_t ejected, size_t failed_check) {
  const size_t values[] = {all, usable, ejected, failed_check};
  for (size_t i = 0; i < 4; ++i) hosts_[i]->Set(values[i]);
}

void ClusterStats::Release() {
  registry_.Release(stats::kClusterConnections, {cluster_});
  for (const char* state : kHostStates) registry_.Release(stats::kClusterHosts, {cluster_, state});
  if (opened_ != nullptr) registry_.Release(stats::kClusterConnectionsOpened, {cluster_});
  for (size_t i = 0; i < kRequestEvents; ++i) {
    if (request_events_[i] == nullptr) continue;
    const Series& series = kRequestSeries[i];
    if (series.label == nullptr) {
      registry_.Release(series.family, {cluster_});
    } else {
      registry_.Release(series.family, {cluster_, series.label});
    }
  }
  for (const Used& used : used_) registry_.Release(*used.family, {cluster_, used.label});
}

}  // namespace countersign::upstream
