// What the admin pages say. Pure: from state to text.
#ifndef COUNTERSIGN_PROXY_ADMIN_PAGES_H_
#define COUNTERSIGN_PROXY_ADMIN_PAGES_H_

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "absl/time/time.h"
#include "proxy/config/discovery.h"
#include "proxy/identity/secret_snapshot.h"

namespace countersign::admin {

// /certs: our chain, every trust domain's authorities, the deny list's epoch. Never a key.
// `secret` may be null. `renew_at` may be InfiniteFuture.
std::string RenderCerts(const identity::SecretSnapshot* secret, absl::Time renew_at,
                        absl::Time now);

// /config_dump: what is in force. `flags` are name and value of each start-up flag.
struct ConfigDump {
  std::vector<std::pair<std::string, std::string>> flags;
  std::shared_ptr<const config::ProxyConfig> config;                               // null: none yet
  std::map<std::string, std::shared_ptr<const config::Destination>> destinations;  // by address
  bool xds_connected = false;
  std::string xds_error;                        // why not; empty when connected
  std::map<std::string, std::string> versions;  // of the listeners in force, by name
};
std::string RenderConfigDump(const ConfigDump& dump);

}  // namespace countersign::admin

#endif  // COUNTERSIGN_PROXY_ADMIN_PAGES_H_
