// When a worker takes no more.
#ifndef COUNTERSIGN_PROXY_FILTER_OVERLOAD_H_
#define COUNTERSIGN_PROXY_FILTER_OVERLOAD_H_

#include <cstddef>
#include <cstdint>

namespace countersign::filter {

struct OverloadLimits {
  uint32_t max_connections = 65'536;
  uint32_t max_requests = 65'536;
  // Of bytes on their way through the worker.
  size_t max_buffered_bytes = size_t{256} << 20;
};

// One a worker. The newest work is shed first: at a limit new connections are refused; what is
// open already may still ask for a little more, then new requests are answered 503; last,
// connections without requests are closed. What runs is never touched.
class Overload {
 public:
  enum class Limit : uint8_t { kNone, kConnections, kRequests, kMemory };

  explicit Overload(const OverloadLimits& limits) : limits_(limits) {}

  // Which limit refuses a new connection, not counted yet, or a new request, counted already.
  Limit RefusesConnection() const;
  Limit RefusesRequest() const;
  // Connections without requests are to go.
  Limit ShedsIdle() const;

  void OnConnections(int change) { connections_ += static_cast<uint32_t>(change); }
  void OnRequests(int change) { requests_ += static_cast<uint32_t>(change); }
  uint32_t connections() const { return connections_; }
  uint32_t requests() const { return requests_; }
  const OverloadLimits& limits() const { return limits_; }

 private:
  const OverloadLimits limits_;
  uint32_t connections_ = 0;
  uint32_t requests_ = 0;
};

// The metric label: `connections`, `requests`, `memory`.
const char* LimitLabel(Overload::Limit limit);

}  // namespace countersign::filter

#endif  // COUNTERSIGN_PROXY_FILTER_OVERLOAD_H_
