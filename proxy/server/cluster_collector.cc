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
    for (const std::unique_ptr<upstream::Host>& host : cluster.hosts()) {
      info.hosts.push_back(InfoOf(*host, now));
    }
  });
  return clusters;
}

}  // namespace countersign::server
