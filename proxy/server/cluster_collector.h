#ifndef COUNTERSIGN_PROXY_SERVER_CLUSTER_COLLECTOR_H_
#define COUNTERSIGN_PROXY_SERVER_CLUSTER_COLLECTOR_H_

#include <vector>

#include "proxy/admin/cluster_info.h"
#include "proxy/event/clock.h"
#include "proxy/upstream/cluster_table.h"

namespace countersign::server {

// What a worker has to say for /clusters. On the worker's thread.
std::vector<admin::ClusterInfo> CollectClusters(const upstream::ClusterTable& table,
                                                event::Instant now);

}  // namespace countersign::server

#endif  // COUNTERSIGN_PROXY_SERVER_CLUSTER_COLLECTOR_H_
