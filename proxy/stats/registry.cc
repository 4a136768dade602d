#include "proxy/stats/registry.h"

#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <list>
#include <map>
#include <mutex>
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

struct ThreadCell {
  explicit ThreadCell(uint32_t owner) : thread(owner) {}
  const uint32_t thread;
  Cell cell;
};

struct Series {
  std::vector<std::string> values;
  std::list<ThreadCell> cells;  // stable addresses: handles point in here

  Cell& ForThread(uint32_t thread) {
    for (ThreadCell& cell : cells) {
      if (cell.thread == thread) {
        return cell.cell;
      }
    }
    return cells.emplace_back(thread).cell;
  }

  uint64_t Sum() const {
    uint64_t sum = 0;  // wraps as the gauges' additions and subtractions do
    for (const ThreadCell& cell : cells) {
      sum += cell.cell.value();
    }
    return sum;
  }
};

struct FamilyState {
  explicit FamilyState(const Family& declared) : family(&declared) {}
  const Family* family;
  std::list<Series> series;  // in order of appearance
  absl::flat_hash_map<std::string, std::list<Series>::iterator> by_values;
  Series* overflow = nullptr;
};

absl::string_view Cut(absl::string_view value) { return value.substr(0, kMaxLabelBytes); }

std::string KeyOf(std::initializer_list<absl::string_view> values) {
  std::string key;
  for (absl::string_view value : values) {
    value = Cut(value);
    absl::StrAppend(&key, value.size(), ":", value);  // length first: no value can forge another
  }
  return key;
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

  Series& Find(const Family& family, std::initializer_list<absl::string_view> values) {
    FamilyState& state = FindFamily(family);
    std::string key = KeyOf(values);
    auto found = state.by_values.find(key);
    if (found != state.by_values.end()) {
      return *found->second;
    }
    if (state.series.size() >= kMaxSeriesPerFamily) {
      if (state.overflow == nullptr) {
        Series& other = state.series.emplace_back();
        other.values.assign(values.size(), "other");
        state.overflow = &other;
      }
      Find(kStatsSeriesCapped, {family.name}).ForThread(ThisThread()).Add(1);
      return *state.overflow;
    }
    Series& fresh = state.series.emplace_back();
    for (absl::string_view value : values) {
      fresh.values.emplace_back(Cut(value));
    }
    state.by_values.emplace(std::move(key), std::prev(state.series.end()));
    return fresh;
  }
};

Registry::Registry() : state_(std::make_unique<State>()) {}
Registry::~Registry() = default;

Cell& Registry::Get(const Family& family, std::initializer_list<absl::string_view> label_values) {
  if (label_values.size() != family.labels.size()) {
    std::fprintf(stderr, "metric family %s takes %zu label values, not %zu\n", family.name,
                 family.labels.size(), label_values.size());
    std::abort();
  }
  std::lock_guard<std::mutex> lock(state_->mutex);
  return state_->Find(family, label_values).ForThread(ThisThread());
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
      AppendSample(*state.family, series.values, series.Sum(), &out);
    }
  }
  return out;
}

}  // namespace countersign::stats
