// The active health checks of a cluster.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_HEALTH_HEALTH_CHECKER_H_
#define COUNTERSIGN_PROXY_UPSTREAM_HEALTH_HEALTH_CHECKER_H_

#include <memory>
#include <string>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/types/span.h"
#include "proxy/upstream/health/host_check.h"

namespace countersign::upstream {

// Every host is asked by every check of the configuration, as long as the cluster is in use on this
// worker; a host fails while any of its checks does. Until the first result a host is taken as it
// was, healthy when it is new: on demand, a service that has just been asked for must not be
// refused because it was not checked yet. A member of its cluster, on its worker's thread.
class HealthChecker final : private HostCheck::Owner {
 public:
  class Owner {
   public:
    // `host.failed_check` has changed; `sentence`: what the check found.
    virtual void OnHealthChanged(Host& host, const std::string& sentence) = 0;
    virtual void OnChecked(Host& host, bool passed) = 0;

   protected:
    ~Owner() = default;
  };

  HealthChecker(PoolShared& shared, Owner& owner) : shared_(shared), owner_(owner) {}

  // The hosts and checks of now; those of before that stay go on as they are.
  void Update(const config::Cluster& config, absl::Span<const std::unique_ptr<Host>> hosts);
  void Stop() { checks_.clear(); }

 private:
  void OnCheckChanged(Host& host, const std::string& sentence) override;
  void OnChecked(Host& host, bool passed) override { owner_.OnChecked(host, passed); }

  PoolShared& shared_;
  Owner& owner_;
  std::vector<config::HealthCheck> config_;
  absl::flat_hash_map<Host*, std::vector<std::unique_ptr<HostCheck>>> checks_;
};

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_HEALTH_HEALTH_CHECKER_H_
