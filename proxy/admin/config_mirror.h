#ifndef COUNTERSIGN_PROXY_ADMIN_CONFIG_MIRROR_H_
#define COUNTERSIGN_PROXY_ADMIN_CONFIG_MIRROR_H_

#include <map>
#include <memory>
#include <string>

#include "proxy/config/discovery.h"

namespace countersign::admin {

// Hears of configuration as the workers do, so that /config_dump and /ready can tell what is in
// force without asking a worker. Holds references only. Thread: main.
class ConfigMirror final : public config::ConfigSink {
 public:
  void OnProxyConfig(std::shared_ptr<const config::ProxyConfig> config) override {
    config_ = std::move(config);
  }
  void OnDestination(const net::Address& original_destination,
                     std::shared_ptr<const config::Destination> destination) override {
    if (destination == nullptr) {
      destinations_.erase(original_destination.ToString());
    } else {
      destinations_[original_destination.ToString()] = std::move(destination);
    }
  }

  const std::shared_ptr<const config::ProxyConfig>& config() const { return config_; }
  const std::map<std::string, std::shared_ptr<const config::Destination>>& destinations() const {
    return destinations_;
  }

 private:
  std::shared_ptr<const config::ProxyConfig> config_;
  std::map<std::string, std::shared_ptr<const config::Destination>> destinations_;
};

}  // namespace countersign::admin

#endif  // COUNTERSIGN_PROXY_ADMIN_CONFIG_MIRROR_H_
