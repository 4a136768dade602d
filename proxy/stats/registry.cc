#include "proxy/stats/registry.h"

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <list>
#include <map>
#include <mutex>
#include <optional>
#include <utility>
#include <vector>

#include "absl/container/flat_hash_map.h"
#include "absl/strings/str_cat.h"
#include "proxy/stats/exposition.h"
#include "proxy/stats/families.h"

namespace countersign::stats {
namespace {

constexpr size_t kMaxSeriesPerFamily = 2000;
// Longer label values (a host name or identity that somebody else chose) are cut: a scrape must not
// grow with what a peer sends.
constexpr size_t kMaxLabelBytes = 256;

// Small numbers instead of thread ids, which the kernel reuses.
uint32_t ThisThread() {
  static std::atomic<uint32_t> next{0};
  thread_local const uint32_t mine = next.fetch_add(1, std::memory_order_relaxed);
  return mine;
}

using Clock = std::chrono::steady_clock;
using LabelValues = absl::Span<const absl::string_view>;

// A thread's share of a series.
struct ThreadCell {
  ThreadCell(uint32_t owner, const Family& family) : thread(owner) {
    if (family.type == Type::kHistogram) {
      histogram.emplace(family.bounds);
    }
  }
  bool RetiredFor(Clock::duration idle, Clock::time_point now) const {
    return !pinned && users == 0 && now - retired_at >= idle;
  }

  const uint32_t thread;
  bool pinned = false;  // by Get: stays until Release
  uint32_t users = 0;   // Acquired and not yet Retired
  Clock::time_point retired_at;
  Cell cell;
  std::optional<Histogram> histogram;
};

struct Series {
  std::vector<std::string> values;
  std::list<ThreadCell> cells;  // stable addresses: handles point in here

  ThreadCell& ForThread(uint32_t thread, const Family& family) {
    for (ThreadCell& cell : cells) {
      if (cell.thread == thread) {
        return cell;
      }
    }
    return cells.emplace_back(thread, family);
  }

  uint64_t Sum() const {
    uint64_t sum = 0;  // wraps as the gauges' additions and subtractions do
    for (const ThreadCell& cell : cells) {
      sum += cell.cell.value();
    }
    return sum;
  }

  HistogramTotals Totals(const Family& family) const {
    HistogramTotals totals;
    totals.counts.resize(family.bounds.size() + 1);
    for (const ThreadCell& cell : cells) {
      for (size_t i = 0; i < totals.counts.size(); ++i) {
        totals.counts[i] += cell.histogram->count(i);
      }
      totals.sum += cell.histogram->sum();
    }
    return totals;
  }
};

struct FamilyState {
  explicit FamilyState(const Family& declared) : family(&declared) {}

  // A series goes as a whole, once none of its threads uses it: a sum that loses one thread's share
  // would look like a counter that began anew.
  void DropRetired(Clock::duration idle, Clock::time_point now) {
    for (auto it = by_values.begin(); it != by_values.end();) {
      const std::list<ThreadCell>& cells = it->second->cells;
      if (!cells.empty() && std::all_of(cells.begin(), cells.end(), [&](const ThreadCell& cell) {
            return cell.RetiredFor(idle, now);
          })) {
        series.erase(it->second);
        by_values.erase(it++);
      } else {
        ++it;
      }
    }
  }

  const Family* family;
  std::list<Series> series;  // in order of appearance
  absl::flat_hash_map<std::string, std::list<Series>::iterator> by_values;
  Series* overflow = nullptr;
  bool any_retired = false;  // since the family was last searched for them when it was full
};

absl::string_view Cut(absl::string_view value) { return value.substr(0, kMaxLabelBytes); }

std::string KeyOf(LabelValues values) {
  std::string key;
  for (absl::string_view value : values) {
    value = Cut(value);
    absl::StrAppend(&key, value.size(), ":", value);  // length first: no value can forge another
  }
  return key;
}

void CheckLabels(const Family& family, LabelValues values) {
  if (values.size() != family.labels.size()) {
    std::fprintf(stderr, "metric family %s takes %zu label values, not %zu\n", family.name,
                 family.labels.size(), values.size());
    std::abort();
  }
}

}  // namespace

struct Registry::State {
  mutable std::mutex mutex;
  std::map<std::string, FamilyState, std::less<>> families;

  FamilyState& FindFamily(const Family& family) {
    auto it = families.find(family.name);
    if (it == families.end()) {
      it = families.emplace(family.name, family).first;
    }
    return it->second;
  }

  Series& Find(const Family& family, LabelValues values) {
    FamilyState& state = FindFamily(family);
    std::string key = KeyOf(values);
    auto found = state.by_values.find(key);
    if (found != state.by_values.end()) {
      return *found->second;
    }
    if (state.series.size() >= kMaxSeriesPerFamily) {
      if (state.any_retired) {  // otherwise every look-up in a full family would search it
        state.DropRetired(Clock::duration::zero(), Clock::now());
        state.any_retired = false;
      }
    }
    if (state.series.size() >= kMaxSeriesPerFamily) {
      if (state.overflow == nullptr) {
        Series& other = state.series.emplace_back();
        other.values.assign(values.size(), "other");
        state.overflow = &other;
      }
      ThreadCell& capped =
          Find(kStatsSeriesCapped, {family.name}).ForThread(ThisThread(), kStatsSeriesCapped);
      capped.pinned = true;
      capped.cell.Add(1);
      return *state.overflow;
    }
    Series& fresh = state.series.emplace_back();
    for (absl::string_view value : values) {
      fresh.values.emplace_back(Cut(value));
    }
    state.by_values.emplace(std::move(key), std::prev(state.series.end()));
    return fresh;
  }

  // `is_it` tells the handle that is given back from one of the same values: the one may have been
  // folded into `other`, which stays, when the family was full, the other not.
  template <typename Predicate>
  void Retire(const Family& family, LabelValues values, Predicate is_it) {
    std::lock_guard<std::mutex> lock(mutex);
    FamilyState& state = FindFamily(family);
    auto found = state.by_values.find(KeyOf(values));
    if (found == state.by_values.end()) {
      return;
    }
    for (ThreadCell& cell : found->second->cells) {
      if (is_it(cell) && cell.users > 0 && --cell.users == 0) {
        cell.retired_at = Clock::now();
        state.any_retired = true;
      }
    }
  }
};

Registry::Registry() : state_(std::make_unique<State>()) {}
Registry::~Registry() = default;

Cell& Registry::Get(const Family& family, std::initializer_list<absl::string_view> label_values) {
  CheckLabels(family, label_values);
  std::lock_guard<std::mutex> lock(state_->mutex);
  ThreadCell& cell = state_->Find(family, label_values).ForThread(ThisThread(), family);
  cell.pinned = true;
  return cell.cell;
}

Cell& Registry::Acquire(const Family& family, LabelValues label_values) {
  CheckLabels(family, label_values);
  std::lock_guard<std::mutex> lock(state_->mutex);
  ThreadCell& cell = state_->Find(family, label_values).ForThread(ThisThread(), family);
  ++cell.users;
  return cell.cell;
}

Histogram& Registry::AcquireHistogram(const Family& family, LabelValues label_values) {
  CheckLabels(family, label_values);
  std::lock_guard<std::mutex> lock(state_->mutex);
  ThreadCell& cell = state_->Find(family, label_values).ForThread(ThisThread(), family);
  ++cell.users;
  return *cell.histogram;
}

void Registry::Retire(const Family& family, LabelValues label_values, const Cell& cell) {
  state_->Retire(family, label_values,
                 [&cell](const ThreadCell& candidate) { return &candidate.cell == &cell; });
}

void Registry::Retire(const Family& family, LabelValues label_values, const Histogram& histogram) {
  state_->Retire(family, label_values, [&histogram](const ThreadCell& candidate) {
    return &*candidate.histogram == &histogram;
  });
}

void Registry::DropRetired(Clock::duration idle) {
  std::lock_guard<std::mutex> lock(state_->mutex);
  for (auto& [name, state] : state_->families) {
    state.DropRetired(idle, Clock::now());
  }
}

void Registry::Release(const Family& family,
                       std::initializer_list<absl::string_view> label_values) {
  std::lock_guard<std::mutex> lock(state_->mutex);
  FamilyState& state = state_->FindFamily(family);
  auto found = state.by_values.find(KeyOf(label_values));
  if (found == state.by_values.end()) {
    return;  // folded into `other`, which is never given back
  }
  Series& series = *found->second;
  series.cells.remove_if([](const ThreadCell& cell) { return cell.thread == ThisThread(); });
  if (series.cells.empty()) {
    state.series.erase(found->second);
    state.by_values.erase(found);
  }
}

std::string Registry::Serialize() const {
  std::string out;
  std::lock_guard<std::mutex> lock(state_->mutex);
  for (const auto& [name, state] : state_->families) {
    if (state.series.empty()) {
      continue;
    }
    AppendFamilyHeader(*state.family, &out);
    for (const Series& series : state.series) {
      if (state.family->type == Type::kHistogram) {
        AppendHistogram(*state.family, series.values, series.Totals(*state.family), &out);
      } else {
        AppendSample(*state.family, series.values, series.Sum(), &out);
      }
    }
  }
  return out;
}

}  // namespace countersign::stats
