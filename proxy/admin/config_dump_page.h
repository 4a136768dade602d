// The /config_dump page. Pure: from state to text.
#ifndef COUNTERSIGN_PROXY_ADMIN_CONFIG_DUMP_PAGE_H_
#define COUNTERSIGN_PROXY_ADMIN_CONFIG_DUMP_PAGE_H_

#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "proxy/config/discovery.h"

namespace countersign::admin {

struct ConfigDump {
  std::vector<std::pair<std::string, std::string>> flags;  // name and value, as given
  std::shared_ptr<const config::ProxyConfig> config;       // null: none yet
  std::map<std::string, std::shared_ptr<const config::Destination>> destinations;  // by address
  bool xds_connected = false;
  std::string xds_error;                        // why not; empty when connected
  std::map<std::string, std::string> versions;  // of the listeners in force, by name
};

// JSON: what is in force, clusters and routes included. Of headers that routes set only the names
// are shown: their values may be credentials.
std::string RenderConfigDump(const ConfigDump& dump);

}  // namespace countersign::admin

#endif  // COUNTERSIGN_PROXY_ADMIN_CONFIG_DUMP_PAGE_H_
