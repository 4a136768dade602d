// What a worker knows of the places that its applications talk to, and who waits to hear of them.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_DESTINATION_TABLE_H_
#define COUNTERSIGN_PROXY_UPSTREAM_DESTINATION_TABLE_H_

#include <cstdint>
#include <memory>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "api/net/address.h"
#include "proxy/config/discovery.h"
#include "proxy/event/clock.h"
#include "proxy/upstream/cluster_table.h"

namespace countersign::upstream {

// One a worker.
class DestinationTable {
 public:
  struct Entry;

  // Someone who waits for an answer; its destructor takes it out of the queue.
  class Waiter {
   public:
    Waiter() = default;
    Waiter(const Waiter&) = delete;
    Waiter& operator=(const Waiter&) = delete;
    bool waiting() const { return entry_ != nullptr; }
    void Cancel();
    virtual void OnDestinationKnown() = 0;

   protected:
    ~Waiter() { Cancel(); }

   private:
    friend class DestinationTable;
    Entry* entry_ = nullptr;
  };

  struct Entry {
    std::shared_ptr<const config::Destination> destination;  // null: no answer yet
    ClusterRef cluster;                                      // destination->cluster
    std::vector<ClusterRef> route_clusters;  // in destination->route_clusters' order
    // Of those that the destination's routes lead to; null: none of that name.
    Cluster* FindCluster(absl::string_view name) const;
    std::vector<Waiter*> waiting;
    event::Instant touched{};
    ~Entry();
  };

  DestinationTable(config::Discovery& discovery, ClusterTable& clusters)
      : discovery_(discovery), clusters_(clusters) {}

  // The answer for an address; subscribes when there is none yet. Null when the table is full of
  // questions without answer.
  Entry* Find(const net::Address& address, event::Instant now);
  void Wait(Entry& entry, Waiter& waiter);

  void OnDestination(const net::Address& address,
                     std::shared_ptr<const config::Destination> destination);

  size_t size() const { return entries_.size(); }

 private:
  static constexpr size_t kMaxUnanswered = 1024;
  static constexpr size_t kMaxEntries = 65'536;

  config::Discovery& discovery_;
  ClusterTable& clusters_;
  absl::flat_hash_map<net::Address, std::unique_ptr<Entry>> entries_;
  size_t unanswered_ = 0;
};

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_DESTINATION_TABLE_H_
