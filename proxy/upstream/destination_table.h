// What a worker knows of the places that its applications talk to, and who waits to hear of them.
#ifndef COUNTERSIGN_PROXY_UPSTREAM_DESTINATION_TABLE_H_
#define COUNTERSIGN_PROXY_UPSTREAM_DESTINATION_TABLE_H_

#include <cstdint>
#include <memory>
#include <random>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "api/net/address.h"
#include "proxy/config/discovery.h"
#include "proxy/event/clock.h"
#include "proxy/stats/registry.h"

namespace countersign::upstream {

// The counters of the traffic with one host, looked up once.
struct TcpCells {
  stats::Cell* opened = nullptr;
  stats::Cell* closed = nullptr;
  stats::Cell* sent = nullptr;
  stats::Cell* received = nullptr;
};

// An endpoint with what this worker has seen of it.
struct Host {
  config::Endpoint endpoint;
  uint32_t active = 0;   // connections that hold it
  bool removed = false;  // from its destination; freed with its last connection
  event::Instant failed_until{};
  TcpCells cells;
};

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
    std::vector<std::unique_ptr<Host>> hosts;
    std::vector<Waiter*> waiting;
    event::Instant touched{};
    ~Entry();
  };

  explicit DestinationTable(config::Discovery& discovery) : discovery_(discovery) {}

  // The answer for an address; subscribes when there is none yet. Null when the table is full of
  // questions without answer.
  Entry* Find(const net::Address& address, event::Instant now);
  void Wait(Entry& entry, Waiter& waiter);

  void OnDestination(const net::Address& address,
                     std::shared_ptr<const config::Destination> destination);

  // The better of two hosts taken at random, by connections in relation to weight (power of two
  // choices); hosts in `tried` are left out, and those that failed lately come last. Null: none.
  Host* Pick(Entry& entry, const std::vector<const Host*>& tried, event::Instant now);
  static void Acquire(Host& host) { ++host.active; }
  static void Release(Host* host);

  size_t size() const { return entries_.size(); }

 private:
  static constexpr size_t kMaxUnanswered = 1024;
  static constexpr size_t kMaxEntries = 65'536;

  config::Discovery& discovery_;
  absl::flat_hash_map<net::Address, std::unique_ptr<Entry>> entries_;
  size_t unanswered_ = 0;
  std::minstd_rand random_{std::random_device{}()};
};

}  // namespace countersign::upstream

#endif  // COUNTERSIGN_PROXY_UPSTREAM_DESTINATION_TABLE_H_
