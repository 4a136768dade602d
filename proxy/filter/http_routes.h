// Where the HTTP requests of a connection go.
#ifndef COUNTERSIGN_PROXY_FILTER_HTTP_ROUTES_H_
#define COUNTERSIGN_PROXY_FILTER_HTTP_ROUTES_H_

#include <cstdint>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"
#include "proxy/router/route_table.h"
#include "proxy/router/router.h"
#include "proxy/upstream/cluster_table.h"

namespace countersign::filter {

// One snapshot of routes with the clusters that it names. Counted by the requests that go by it, so
// that a request finishes with the routes that it began with. Of one worker.
class HttpRoutes final : public router::ClusterSource {
 public:
  struct NamedCluster {
    std::string name;
    upstream::ClusterRef cluster;
  };

  // One reference, the caller's. The last of `clusters` is the destination's own.
  HttpRoutes(std::shared_ptr<const config::RouteConfiguration> routes,
             std::vector<NamedCluster> clusters)
      : table_(std::move(routes)), clusters_(std::move(clusters)) {}
  HttpRoutes(const HttpRoutes&) = delete;
  HttpRoutes& operator=(const HttpRoutes&) = delete;

  const router::RouteTable& table() const { return table_; }
  upstream::Cluster* FindCluster(absl::string_view name) override {
    for (const NamedCluster& named : clusters_) {
      if (named.name == name) return named.cluster.get();
    }
    return nullptr;
  }
  upstream::Cluster* DestinationCluster() override {
    return clusters_.empty() ? nullptr : clusters_.back().cluster.get();
  }

  // Somebody has a reference beside the first owner.
  bool shared() const { return refs_ > 1; }
  void Ref() { ++refs_; }
  void Unref() {
    if (--refs_ == 0) delete this;
  }

 private:
  ~HttpRoutes() = default;

  const router::RouteTable table_;
  const std::vector<NamedCluster> clusters_;  // few: those of one route configuration
  uint32_t refs_ = 1;
};

}  // namespace countersign::filter

#endif  // COUNTERSIGN_PROXY_FILTER_HTTP_ROUTES_H_
