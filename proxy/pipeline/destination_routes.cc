#include "proxy/pipeline/destination_routes.h"

#include <utility>
#include <vector>

namespace countersign::pipeline {

DestinationRoutes::~DestinationRoutes() {
  for (auto& [destination, routes] : routes_) routes->Unref();
}

filter::HttpRoutes* DestinationRoutes::To(const net::Address& destination,
                                          const upstream::DestinationTable::Entry& entry) {
  const config::Destination& answer = *entry.destination;
  if (answer.kind != config::Destination::Kind::kCluster || answer.routes == nullptr ||
      answer.cluster->protocol == config::AppProtocol::kTcp) {
    return nullptr;
  }
  filter::HttpRoutes*& routes = routes_[destination];
  if (routes != nullptr) return routes;
  std::vector<filter::HttpRoutes::NamedCluster> clusters;
  for (size_t i = 0; i < answer.route_clusters.size(); ++i) {
    clusters.push_back({answer.route_clusters[i]->name, entry.route_clusters[i]});
  }
  clusters.push_back({answer.cluster->name, entry.cluster});
  routes = new filter::HttpRoutes(answer.routes, std::move(clusters));
  return routes;
}

void DestinationRoutes::OnChange(const net::Address& destination) {
  ++generation_;
  const auto it = routes_.find(destination);
  if (it == routes_.end()) return;
  it->second->Unref();
  routes_.erase(it);
}

}  // namespace countersign::pipeline
