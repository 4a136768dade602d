#include "proxy/upstream/destination_table.h"

#include <algorithm>
#include <utility>

namespace countersign::upstream {
namespace {

// How often the subscriber is told that an address is in use. Far below its idle time, far above
// the time between two connections.
constexpr std::chrono::seconds kTouchInterval{10};

}  // namespace

void DestinationTable::Waiter::Cancel() {
  if (entry_ == nullptr) return;
  std::vector<Waiter*>& queue = entry_->waiting;
  queue.erase(std::find(queue.begin(), queue.end(), this));
  entry_ = nullptr;
}

DestinationTable::Entry::~Entry() {
  for (Waiter* waiter : waiting) waiter->entry_ = nullptr;
}

DestinationTable::Entry* DestinationTable::Find(const net::Address& address, event::Instant now) {
  auto it = entries_.find(address);
  if (it == entries_.end()) {
    if (unanswered_ >= kMaxUnanswered || entries_.size() >= kMaxEntries) return nullptr;
    it = entries_.emplace(address, std::make_unique<Entry>()).first;
    it->second->touched = now;
    ++unanswered_;
    discovery_.Subscribe(address);
  } else if (now - it->second->touched >= kTouchInterval) {
    it->second->touched = now;
    discovery_.Touch(address);
  }
  return it->second.get();
}

void DestinationTable::Wait(Entry& entry, Waiter& waiter) {
  entry.waiting.push_back(&waiter);
  waiter.entry_ = &entry;
}

void DestinationTable::OnDestination(const net::Address& address,
                                     std::shared_ptr<const config::Destination> destination) {
  const auto it = entries_.find(address);
  if (destination == nullptr) {
    if (it == entries_.end()) return;
    if (it->second->destination == nullptr) --unanswered_;
    // Whoever still waits asks again.
    std::unique_ptr<Entry> dying = std::move(it->second);
    entries_.erase(it);
    std::vector<Waiter*> waiting = dying->waiting;
    dying.reset();
    for (Waiter* waiter : waiting) waiter->OnDestinationKnown();
    return;
  }
  Entry* entry;
  if (it == entries_.end()) {
    // Another worker asked; the answer comes to all, and is kept for the next connection.
    if (entries_.size() >= kMaxEntries) return;
    entry = entries_.emplace(address, std::make_unique<Entry>()).first->second.get();
  } else {
    entry = it->second.get();
    if (entry->destination == nullptr) --unanswered_;
  }
  // The new shares first: a cluster that stays must not be dropped in between.
  ClusterRef cluster;
  std::vector<ClusterRef> route_clusters;
  if (destination->kind == config::Destination::Kind::kCluster) {
    if (destination->cluster != nullptr) cluster = clusters_.Acquire(destination->cluster);
    route_clusters.reserve(destination->route_clusters.size());
    for (const auto& one : destination->route_clusters) {
      route_clusters.push_back(clusters_.Acquire(one));
    }
  }
  entry->cluster = std::move(cluster);
  entry->route_clusters = std::move(route_clusters);
  entry->destination = std::move(destination);
  while (!entry->waiting.empty()) {
    Waiter* waiter = entry->waiting.front();
    waiter->Cancel();
    waiter->OnDestinationKnown();
  }
}

Cluster* DestinationTable::Entry::FindCluster(absl::string_view name) const {
  const auto it = std::lower_bound(
      route_clusters.begin(), route_clusters.end(), name,
      [](const ClusterRef& a, absl::string_view b) { return a->config().name < b; });
  if (it != route_clusters.end() && (*it)->config().name == name) return it->get();
  return cluster && cluster->config().name == name ? cluster.get() : nullptr;
}

}  // namespace countersign::upstream
