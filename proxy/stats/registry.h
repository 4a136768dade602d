// Counters, gauges and histograms of the proxy. A cell has one writer (the thread that made it) and
// is read by the scrape without stopping anybody: plain relaxed loads and stores, no locked
// instruction.
#ifndef COUNTERSIGN_PROXY_STATS_REGISTRY_H_
#define COUNTERSIGN_PROXY_STATS_REGISTRY_H_

#include <atomic>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"

namespace countersign::stats {

class Cell {
 public:
  void Add(uint64_t n) {
    value_.store(value_.load(std::memory_order_relaxed) + n, std::memory_order_relaxed);
  }
  void Sub(uint64_t n) {
    value_.store(value_.load(std::memory_order_relaxed) - n, std::memory_order_relaxed);
  }
  void Set(uint64_t n) { value_.store(n, std::memory_order_relaxed); }
  uint64_t value() const { return value_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint64_t> value_{0};
};

enum class Type : uint8_t { kCounter, kGauge };

// Declared once, as a constant, in families.h; the metrics reference is generated from there.
struct Family {
  const char* name;
  const char* help;
  Type type;
  std::initializer_list<const char*> labels;
};

// One a process. Thread-safe: Get takes a lock, so ask once per connection or keep the handle,
// never per byte.
class Registry {
 public:
  Registry();
  ~Registry();

  // The calling thread's cell for these label values, in the family's order; cells of several
  // threads are summed at scrape. Beyond the family's cap of series (2,000) all further values
  // share one series whose values are `other`, and countersign_stats_series_capped_total counts it.
  // Handles stay valid until Release.
  Cell& Get(const Family& family, std::initializer_list<absl::string_view> label_values);

  // Takes the calling thread's cell of a series back; its handles are dead from then on, and the
  // series is gone once no thread has a cell of it. For gauges of what comes and goes, such as
  // peers' certificates: without this their series would pile up until the cap.
  void Release(const Family& family, std::initializer_list<absl::string_view> label_values);

  // Prometheus text format 0.0.4.
  std::string Serialize() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace countersign::stats

#endif  // COUNTERSIGN_PROXY_STATS_REGISTRY_H_
