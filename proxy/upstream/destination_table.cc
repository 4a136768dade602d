#include "proxy/upstream/destination_table.h"

#include <algorithm>
#include <utility>

namespace countersign::upstream {
namespace {

// How often the subscriber is told that an address is in use. Far below its idle time, far above
// the time between two connections.
constexpr std::chrono::seconds kTouchInterval{10};

bool Same(const config::Endpoint& a, const config::Endpoint& b) {
  return a.address == b.address && a.transport == b.transport && a.tunnel == b.tunnel &&
         a.identity == b.identity && a.workload == b.workload &&
         a.workload_namespace == b.workload_namespace;
}

void Retire(std::unique_ptr<Host> host) {
  if (host->active == 0) return;
  host->removed = true;
  (void)host.release();  // its last connection deletes it: Release
}

}  // namespace

void DestinationTable::Waiter::Cancel() {
  if (entry_ == nullptr) return;
  std::vector<Waiter*>& queue = entry_->waiting;
  queue.erase(std::find(queue.begin(), queue.end(), this));
  entry_ = nullptr;
}

DestinationTable::Entry::~Entry() {
  for (Waiter* waiter : waiting) waiter->entry_ = nullptr;
  for (std::unique_ptr<Host>& host : hosts) Retire(std::move(host));
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
  std::vector<std::unique_ptr<Host>> old = std::move(entry->hosts);
  entry->hosts.clear();
  if (destination->kind == config::Destination::Kind::kCluster && destination->cluster != nullptr) {
    for (const config::Endpoint& endpoint : destination->cluster->endpoints) {
      const auto known = std::find_if(old.begin(), old.end(), [&](const auto& host) {
        return host != nullptr && Same(host->endpoint, endpoint);
      });
      std::unique_ptr<Host> host =
          known == old.end() ? std::make_unique<Host>() : std::move(*known);
      host->endpoint = endpoint;
      entry->hosts.push_back(std::move(host));
    }
  }
  for (std::unique_ptr<Host>& host : old) {
    if (host != nullptr) Retire(std::move(host));
  }
  entry->destination = std::move(destination);
  while (!entry->waiting.empty()) {
    Waiter* waiter = entry->waiting.front();
    waiter->Cancel();
    waiter->OnDestinationKnown();
  }
}

Host* DestinationTable::Pick(Entry& entry, const std::vector<const Host*>& tried,
                             event::Instant now) {
  const size_t n = entry.hosts.size();
  if (n == 1 && tried.empty()) return entry.hosts.front().get();
  const auto usable = [&tried](const Host& host) {
    return std::find(tried.begin(), tried.end(), &host) == tried.end();
  };
  const auto better = [now](const Host& a, const Host& b) {
    const bool a_failed = a.failed_until > now;
    const bool b_failed = b.failed_until > now;
    if (a_failed != b_failed) return b_failed;
    return static_cast<uint64_t>(a.active) * b.endpoint.weight <
           static_cast<uint64_t>(b.active) * a.endpoint.weight;
  };
  Host* best = nullptr;
  if (n > 2 && tried.empty()) {
    Host* a = entry.hosts[random_() % n].get();
    Host* b = entry.hosts[random_() % n].get();
    best = better(*a, *b) ? a : b;
    if (best->failed_until <= now) return best;
    best = nullptr;
  }
  // Few hosts, or the sample is not good: look at all, from a random one on.
  const size_t start = n == 0 ? 0 : random_() % n;
  for (size_t i = 0; i < n; ++i) {
    Host* host = entry.hosts[(start + i) % n].get();
    if (usable(*host) && (best == nullptr || better(*host, *best))) best = host;
  }
  return best;
}

void DestinationTable::Release(Host* host) {
  if (host != nullptr && --host->active == 0 && host->removed) delete host;
}

}  // namespace countersign::upstream
