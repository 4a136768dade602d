// Counters, gauges and histograms of the proxy. A cell has one writer (the thread that made it) and
// is read by the scrape without stopping anybody: plain relaxed loads and stores, no locked
// instruction.
#ifndef COUNTERSIGN_PROXY_STATS_REGISTRY_H_
#define COUNTERSIGN_PROXY_STATS_REGISTRY_H_

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"

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

// How often values fell at or below each bound. `bounds` ascend and outlive it. One writer, as for
// a Cell; a scrape in the middle of Record sees a value in its bucket before it sees it in the sum.
class Histogram {
 public:
  explicit Histogram(std::initializer_list<uint64_t> bounds)
      : bounds_(bounds), counts_(std::make_unique<Cell[]>(bounds.size() + 1)) {}

  void Record(uint64_t value) {
    const uint64_t* bound = bounds_.begin();
    while (bound != bounds_.end() && *bound < value) ++bound;
    counts_[bound - bounds_.begin()].Add(1);
    sum_.Add(value);
  }

  // Not cumulative; index bounds.size() is beyond the last bound.
  uint64_t count(size_t bucket) const { return counts_[bucket].value(); }
  uint64_t sum() const { return sum_.value(); }

 private:
  const std::initializer_list<uint64_t> bounds_;
  const std::unique_ptr<Cell[]> counts_;
  Cell sum_;
};

enum class Type : uint8_t { kCounter, kGauge, kHistogram };

// Declared once, as a constant, in families.h; the metrics reference is generated from there.
struct Family {
  const char* name;
  const char* help;
  Type type;
  std::initializer_list<const char*> labels;
  // Histograms: upper bounds of the buckets in the unit that is recorded, and how many of that unit
  // make one of the unit that the name says.
  std::initializer_list<uint64_t> bounds = {};
  uint64_t divisor = 1;
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

  // As Get, for series whose labels come from elsewhere and that are to go some time after their
  // last user: each call must be followed by a Retire of what it returned, with the same values and
  // on the same thread. A series that is used again before it is dropped goes on where it was.
  Cell& Acquire(const Family& family, absl::Span<const absl::string_view> label_values);
  Histogram& AcquireHistogram(const Family& family,
                              absl::Span<const absl::string_view> label_values);
  void Retire(const Family& family, absl::Span<const absl::string_view> label_values,
              const Cell& cell);
  void Retire(const Family& family, absl::Span<const absl::string_view> label_values,
              const Histogram& histogram);
  // Drops the series that have had no user for at least `idle`. Called at intervals; and, with no
  // patience, when a family is full.
  void DropRetired(std::chrono::steady_clock::duration idle);

  // Prometheus text format 0.0.4.
  std::string Serialize() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace countersign::stats

#endif  // COUNTERSIGN_PROXY_STATS_REGISTRY_H_
