#include "proxy/upstream/circuit_breakers.h"

#include <algorithm>

#include "absl/strings/str_cat.h"

namespace countersign::upstream {

bool CircuitBreakers::TryAdd(Kind kind) {
  if (open(kind)) {
    ++overflows_[Index(kind)];
    return false;
  }
  ++count_[Index(kind)];
  return true;
}

uint32_t CircuitBreakers::limit(Kind kind) const {
  switch (kind) {
    case Kind::kConnections:
      return limits_.max_connections;
    case Kind::kPending:
      return limits_.max_pending_requests;
    case Kind::kRequests:
      return limits_.max_requests;
    case Kind::kRetries: {
      const uint64_t budget =
          static_cast<uint64_t>(count(Kind::kRequests)) * limits_.retry_budget_percent / 100;
      return static_cast<uint32_t>(std::max<uint64_t>(limits_.max_retries, budget));
    }
  }
  return 0;
}

const char* CircuitBreakers::Label(Kind kind) {
  switch (kind) {
    case Kind::kConnections:
      return "connections";
    case Kind::kPending:
      return "pending";
    case Kind::kRequests:
      return "requests";
    case Kind::kRetries:
      return "retries";
  }
  return "";
}

std::string CircuitBreakers::Explain(Kind kind, absl::string_view cluster) const {
  return absl::StrCat("the circuit breaker of cluster ", cluster, " is open: ", limit(kind), " ",
                      Label(kind), " are under way from this worker");
}

}  // namespace countersign::upstream
