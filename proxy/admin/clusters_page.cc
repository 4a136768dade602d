#include "proxy/admin/clusters_page.h"

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "proxy/admin/config_names.h"

namespace countersign::admin {
namespace {

using Json = nlohmann::ordered_json;

void Merge(HostInfo&& part, HostInfo* into) {
  into->failed_check = into->failed_check || part.failed_check;
  into->ejected = into->ejected || part.ejected;
  into->failed_lately = into->failed_lately || part.failed_lately;
  into->removed = into->removed && part.removed;
  into->active += part.active;
  into->requests += part.requests;
  into->successes += part.successes;
  into->failures += part.failures;
  into->connections += part.connections;
  into->connections_opened += part.connections_opened;
  into->connect_failures += part.connect_failures;
  into->ejections = std::max(into->ejections, part.ejections);
  into->rtt_ms = std::max(into->rtt_ms, part.rtt_ms);
}

void Merge(ClusterInfo&& part, ClusterInfo* into) {
  for (LimitInfo& limit : part.limits) {
    auto same = std::find_if(into->limits.begin(), into->limits.end(),
                             [&](const LimitInfo& one) { return one.name == limit.name; });
    if (same == into->limits.end()) {
      into->limits.push_back(std::move(limit));
      continue;
    }
    same->limit += limit.limit;
    same->count += limit.count;
    same->overflows += limit.overflows;
  }
  for (HostInfo& host : part.hosts) {
    auto same = std::find_if(into->hosts.begin(), into->hosts.end(), [&](const HostInfo& one) {
      return one.endpoint.address == host.endpoint.address;
    });
    if (same == into->hosts.end()) {
      into->hosts.push_back(std::move(host));
    } else {
      Merge(std::move(host), &*same);
    }
  }
}

// Envoy's words where it has one, `/failed_active_hc/failed_outlier_check`.
std::string HealthFlags(const HostInfo& host) {
  std::string flags;
  const auto add = [&flags](bool set, const char* name) {
    if (set) absl::StrAppend(&flags, "/", name);
  };
  add(host.failed_check, "failed_active_hc");
  add(host.ejected, "failed_outlier_check");
  add(!host.endpoint.healthy, "failed_eds_health");
  add(host.removed, "pending_dynamic_removal");
  add(host.failed_lately, "connect_failed_lately");
  return flags.empty() ? "healthy" : flags;
}

}  // namespace

std::vector<ClusterInfo> MergeClusters(std::vector<ClusterInfo> parts) {
  std::map<std::string, ClusterInfo> by_name;
  for (ClusterInfo& part : parts) {
    auto found = by_name.find(part.name);
    if (found == by_name.end()) {
      std::string name = part.name;
      by_name.emplace(std::move(name), std::move(part));
    } else {
      Merge(std::move(part), &found->second);
    }
  }
  std::vector<ClusterInfo> merged;
  for (auto& [name, cluster] : by_name) {
    std::sort(cluster.hosts.begin(), cluster.hosts.end(), [](const HostInfo& a, const HostInfo& b) {
      return a.endpoint.address.ToString() < b.endpoint.address.ToString();
    });
    merged.push_back(std::move(cluster));
  }
  return merged;
}

std::string RenderClustersText(const std::vector<ClusterInfo>& clusters) {
  std::string out;
  for (const ClusterInfo& cluster : clusters) {
    const auto line = [&](absl::string_view subject, absl::string_view name, auto value) {
      absl::StrAppend(&out, cluster.name, "::", subject, subject.empty() ? "" : "::", name,
                      "::", value, "\n");
    };
    line("", "protocol", AppProtocolName(cluster.protocol));
    line("", "lb_policy", LbPolicyName(cluster.lb_policy));
    for (const LimitInfo& limit : cluster.limits) {
      line("default_priority", absl::StrCat("max_", limit.name), limit.limit);
      line("default_priority", absl::StrCat(limit.name, "_active"), limit.count);
      line("default_priority", absl::StrCat(limit.name, "_overflow"), limit.overflows);
    }
    for (const HostInfo& host : cluster.hosts) {
      const config::Endpoint& endpoint = host.endpoint;
      const std::string address = endpoint.address.ToString();
      line(address, "transport", TransportName(endpoint.transport));
      line(address, "identity", endpoint.identity.ToString());
      line(address, "workload",
           endpoint.workload.empty()
               ? ""
               : absl::StrCat(endpoint.workload_namespace, "/", endpoint.workload));
      line(address, "health_flags", HealthFlags(host));
      line(address, "cx_active", host.connections);
      line(address, "cx_total", host.connections_opened);
      line(address, "cx_connect_fail", host.connect_failures);
      line(address, "rq_active", host.active);
      line(address, "rq_total", host.requests);
      line(address, "rq_success", host.successes);
      line(address, "rq_error", host.failures);
      line(address, "ejections", host.ejections);
      line(address, "rtt_ms", host.rtt_ms);
      line(address, "weight", endpoint.weight);
      line(address, "priority", endpoint.priority);
      line(address, "region", endpoint.locality.region);
      line(address, "zone", endpoint.locality.zone);
      line(address, "sub_zone", endpoint.locality.sub_zone);
    }
  }
  return out;
}

std::string RenderClustersJson(const std::vector<ClusterInfo>& clusters) {
  Json list = Json::array();
  for (const ClusterInfo& cluster : clusters) {
    Json limits = Json::object();
    for (const LimitInfo& limit : cluster.limits) {
      limits[limit.name] = {
          {"limit", limit.limit}, {"active", limit.count}, {"overflows", limit.overflows}};
    }
    Json hosts = Json::array();
    for (const HostInfo& host : cluster.hosts) {
      const config::Endpoint& endpoint = host.endpoint;
      hosts.push_back({{"address", endpoint.address.ToString()},
                       {"transport", TransportName(endpoint.transport)},
                       {"identity", endpoint.identity.ToString()},
                       {"workload", endpoint.workload},
                       {"workload_namespace", endpoint.workload_namespace},
                       {"health", HealthFlags(host)},
                       {"active", host.active},
                       {"requests", host.requests},
                       {"successes", host.successes},
                       {"failures", host.failures},
                       {"connections", host.connections},
                       {"connections_opened", host.connections_opened},
                       {"connect_failures", host.connect_failures},
                       {"ejections", host.ejections},
                       {"rtt_ms", host.rtt_ms},
                       {"weight", endpoint.weight},
                       {"priority", endpoint.priority},
                       {"region", endpoint.locality.region},
                       {"zone", endpoint.locality.zone},
                       {"sub_zone", endpoint.locality.sub_zone}});
    }
    list.push_back({{"name", cluster.name},
                    {"service", cluster.service},
                    {"service_namespace", cluster.service_namespace},
                    {"protocol", AppProtocolName(cluster.protocol)},
                    {"lb_policy", LbPolicyName(cluster.lb_policy)},
                    {"circuit_breakers", std::move(limits)},
                    {"hosts", std::move(hosts)}});
  }
  const Json page = {{"clusters", std::move(list)}};
  return page.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

}  // namespace countersign::admin
