// The /clusters page. Pure: from what the workers said to text.
#ifndef COUNTERSIGN_PROXY_ADMIN_CLUSTERS_PAGE_H_
#define COUNTERSIGN_PROXY_ADMIN_CLUSTERS_PAGE_H_

#include <string>
#include <vector>

#include "proxy/admin/cluster_info.h"

namespace countersign::admin {

// One entry a name, ordered by it, whose hosts are ordered by address: counts are added, and a host
// that any worker finds failing is failing.
std::vector<ClusterInfo> MergeClusters(std::vector<ClusterInfo> parts);

// Envoy's lines, `CLUSTER::ADDRESS::NAME::VALUE`.
std::string RenderClustersText(const std::vector<ClusterInfo>& clusters);
std::string RenderClustersJson(const std::vector<ClusterInfo>& clusters);

}  // namespace countersign::admin

#endif  // COUNTERSIGN_PROXY_ADMIN_CLUSTERS_PAGE_H_
