#include "proxy/stats/request_cells.h"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "proxy/stats/families.h"

namespace countersign::stats {
namespace {

constexpr size_t kSlots = 128;           // a power of two
constexpr size_t kMaxCombinations = 64;  // so that probing stays short
constexpr int kHighestGrpcStatus = 16;   // UNAUTHENTICATED
constexpr int kHighestHttpStatus = 999;
constexpr size_t kPairLabels = 10;
constexpr char kOther[] = "other";

// What a request's counter is found by, beside the pair of workloads.
struct Combination {
  uint16_t status;
  int16_t grpc_status;
  bool grpc;
  absl::string_view flags;

  uint32_t Hash() const {
    // FNV-1a; the values are ours and our applications', not a client's.
    uint32_t hash = 2166136261u;
    const auto mix = [&hash](uint32_t byte) { hash = (hash ^ byte) * 16777619u; };
    mix(status & 0xFF);
    mix(status >> 8);
    mix(static_cast<uint8_t>(grpc_status));
    mix(grpc ? 1 : 0);
    for (const char c : flags) mix(static_cast<uint8_t>(c));
    return hash;
  }
};

}  // namespace

struct RequestCells::State {
  // The series of one protocol between the two workloads.
  struct Sizes {
    Histogram& duration;
    Histogram& request_bytes;
    Histogram& response_bytes;
  };
  struct Messages {
    Cell& requests;
    Cell& responses;
  };
  struct Entry {
    uint16_t status;
    int16_t grpc_status;
    bool grpc;
    std::string flags;
    Cell* requests;

    bool Is(const Combination& wanted) const {
      return status == wanted.status && grpc_status == wanted.grpc_status && grpc == wanted.grpc &&
             flags == wanted.flags;
    }
  };
  struct Labels {
    std::array<absl::string_view, kPairLabels + 4> values;
    absl::Span<const absl::string_view> pair_and_protocol() const {
      return {values.data(), kPairLabels + 1};
    }
  };

  State(Registry& stats, const RequestLabels& labels)
      : registry(stats),
        pair{std::string(labels.reporter),
             std::string(labels.source_workload),
             std::string(labels.source_workload_namespace),
             std::string(labels.source_principal),
             std::string(labels.destination_workload),
             std::string(labels.destination_workload_namespace),
             std::string(labels.destination_principal),
             std::string(labels.destination_service),
             std::string(labels.destination_service_namespace),
             std::string(labels.connection_security_policy)} {
    slots.fill(-1);
  }

  // `code`, `grpc_status` and `flags` live as long as the result is used.
  Labels LabelsOf(bool grpc, absl::string_view code, absl::string_view grpc_status,
                  absl::string_view flags) const {
    Labels labels;
    std::copy(pair.begin(), pair.end(), labels.values.begin());
    labels.values[kPairLabels] = grpc ? "grpc" : "http";
    labels.values[kPairLabels + 1] = code;
    labels.values[kPairLabels + 2] = grpc_status;
    labels.values[kPairLabels + 3] = flags;
    return labels;
  }

  Cell& AcquireRequests(const Combination& combination) {
    const std::string code = absl::StrCat(combination.status);
    const std::string grpc_status = GrpcStatusText(combination.grpc_status);
    return registry.Acquire(
        kRequests, LabelsOf(combination.grpc, code, grpc_status, combination.flags).values);
  }

  static std::string GrpcStatusText(int grpc_status) {
    if (grpc_status < 0) return "";
    return grpc_status > kHighestGrpcStatus ? kOther : absl::StrCat(grpc_status);
  }

  Cell& Find(const Combination& wanted) {
    size_t slot = wanted.Hash() & (kSlots - 1);
    for (; slots[slot] >= 0; slot = (slot + 1) & (kSlots - 1)) {
      Entry& entry = entries[static_cast<size_t>(slots[slot])];
      if (entry.Is(wanted)) return *entry.requests;
    }
    if (entries.size() >= kMaxCombinations) return Overflow(wanted.grpc);
    slots[slot] = static_cast<int8_t>(entries.size());
    entries.push_back({wanted.status, wanted.grpc_status, wanted.grpc, std::string(wanted.flags),
                       &AcquireRequests(wanted)});
    return *entries.back().requests;
  }

  Cell& Overflow(bool grpc) {
    Cell*& cell = overflow[grpc ? 1 : 0];
    if (cell == nullptr) {
      cell = &registry.Acquire(kRequests, LabelsOf(grpc, kOther, kOther, kOther).values);
    }
    return *cell;
  }

  Sizes& SizesOf(bool grpc) {
    std::optional<Sizes>& found = sizes[grpc ? 1 : 0];
    if (!found.has_value()) {
      const Labels labels = LabelsOf(grpc, {}, {}, {});
      found.emplace(Sizes{registry.AcquireHistogram(kRequestDuration, labels.pair_and_protocol()),
                          registry.AcquireHistogram(kRequestBytes, labels.pair_and_protocol()),
                          registry.AcquireHistogram(kResponseBytes, labels.pair_and_protocol())});
    }
    return *found;
  }

  Messages& MessagesOfCalls() {
    if (!messages.has_value()) {
      const Labels labels = LabelsOf(/*grpc=*/true, {}, {}, {});
      messages.emplace(Messages{registry.Acquire(kRequestMessages, labels.pair_and_protocol()),
                                registry.Acquire(kResponseMessages, labels.pair_and_protocol())});
    }
    return *messages;
  }

  void RetireAll() {
    for (const Entry& entry : entries) {
      const std::string code = absl::StrCat(entry.status);
      const std::string grpc_status = GrpcStatusText(entry.grpc_status);
      registry.Retire(kRequests, LabelsOf(entry.grpc, code, grpc_status, entry.flags).values,
                      *entry.requests);
    }
    for (const bool grpc : {false, true}) {
      if (const Cell* cell = overflow[grpc ? 1 : 0]; cell != nullptr) {
        registry.Retire(kRequests, LabelsOf(grpc, kOther, kOther, kOther).values, *cell);
      }
      if (const std::optional<Sizes>& known = sizes[grpc ? 1 : 0]; known.has_value()) {
        const Labels labels = LabelsOf(grpc, {}, {}, {});
        registry.Retire(kRequestDuration, labels.pair_and_protocol(), known->duration);
        registry.Retire(kRequestBytes, labels.pair_and_protocol(), known->request_bytes);
        registry.Retire(kResponseBytes, labels.pair_and_protocol(), known->response_bytes);
      }
    }
    if (messages.has_value()) {
      const Labels labels = LabelsOf(/*grpc=*/true, {}, {}, {});
      registry.Retire(kRequestMessages, labels.pair_and_protocol(), messages->requests);
      registry.Retire(kResponseMessages, labels.pair_and_protocol(), messages->responses);
    }
  }

  Registry& registry;
  const std::array<std::string, kPairLabels> pair;
  std::array<int8_t, kSlots> slots;  // into `entries`; -1: free
  std::vector<Entry> entries;
  std::array<Cell*, 2> overflow{};  // http, grpc
  std::array<std::optional<Sizes>, 2> sizes;
  std::optional<Messages> messages;
};

RequestCells::RequestCells(Registry& registry, const RequestLabels& labels)
    : state_(std::make_unique<State>(registry, labels)) {}

RequestCells::~RequestCells() { state_->RetireAll(); }

void RequestCells::Record(const RequestOutcome& outcome) {
  // What an application answers is bounded here, before it can become a label.
  const Combination combination{
      .status = std::min<uint16_t>(outcome.status, kHighestHttpStatus),
      .grpc_status = static_cast<int16_t>(
          !outcome.grpc ? -1 : std::clamp(outcome.grpc_status, -1, kHighestGrpcStatus + 1)),
      .grpc = outcome.grpc,
      .flags = outcome.flags.empty() ? absl::string_view("-") : outcome.flags};
  state_->Find(combination).Add(1);
  State::Sizes& sizes = state_->SizesOf(outcome.grpc);
  sizes.duration.Record(static_cast<uint64_t>(std::max<int64_t>(outcome.duration.count(), 0)));
  sizes.request_bytes.Record(outcome.request_bytes);
  sizes.response_bytes.Record(outcome.response_bytes);
}

void RequestCells::AddMessages(uint64_t requests, uint64_t responses) {
  State::Messages& messages = state_->MessagesOfCalls();
  messages.requests.Add(requests);
  messages.responses.Add(responses);
}

}  // namespace countersign::stats
