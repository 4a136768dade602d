// The /connections page: every worker's connections, as JSON or as a table for people.
#ifndef COUNTERSIGN_PROXY_SERVER_CONNECTION_TABLE_H_
#define COUNTERSIGN_PROXY_SERVER_CONNECTION_TABLE_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "proxy/server/worker.h"

namespace countersign::server {

std::string RenderConnectionsJson(const std::vector<ConnectionInfo>& connections, absl::Time now);
std::string RenderConnectionsText(const std::vector<ConnectionInfo>& connections, absl::Time now);

}  // namespace countersign::server

#endif  // COUNTERSIGN_PROXY_SERVER_CONNECTION_TABLE_H_
