#include "proxy/server/cluster_collector.h"

#include <utility>

namespace countersign::server {
namespace {

admin::HostInfo InfoOf(const upstream::Host& host, event::Instant now) {
  admin::HostInfo info;
  info.endpoint = host.endpoint;
  info.failed_check = host.failed_check;
  info.ejected = host.ejected;
  info.failed_lately = host.failed_until > now;
  info.removed = host.removed;
  info.active = host.active;
  info.rtt_ms = static_cast<double>(host.rtt) / 1000;
  info.requests = host.requests;
  info.successes = host.successes;
  info.failures = host.failures;
  info.connections = host.connections;
  info.connections_opened = host.connections_opened;
  info.connect_failures = host.connect_failures;
  info.ejections = host.outlier.ejections;
  return info;
}

}  // namespace

std::vector<admin::ClusterInfo> CollectClusters(const upstream::ClusterTable& table,
                                                event::Instant now) {
  std::vector<admin::ClusterInfo> clusters;
  table.ForEach([&](const upstream::Cluster& cluster) {
    admin::ClusterInfo& info = clusters.emplace_back();
    info.name = cluster.config().name;
    info.service = cluster.config().service;
    info.service_namespace = cluster.config().service_namespace;
    info.protocol = cluster.config().protocol;
    info.lb_policy = cluster.config().lb_policy;
    const upstream::CircuitBreakers& breakers = cluster.circuit_breakers();
    for (int i = 0; i < upstream::CircuitBreakers::kKinds; ++i) {
      const auto kind = static_cast<upstream::CircuitBreakers::Kind>(i);
      info.limits.push_back({.name = upstream::CircuitBreakers::Label(kind),
                             .limit = breakers.limit(kind),
                             .count = breakers.count(kind),
                             .overflows = breakers.overflows(kind)});
    }
    for (const std::unique_ptr<upstream::Host>& host : cluster.hosts()) {
      info.hosts.push_back(InfoOf(*host, now));
    }
  });
  return clusters;
}

}  // namespace countersign::server
