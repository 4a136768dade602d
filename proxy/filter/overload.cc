#include "proxy/filter/overload.h"

#include "proxy/buffer/block.h"

namespace countersign::filter {
namespace {

size_t BufferedBytes() { return buffer::BlockPool::ForThisThread().bytes_in_use(); }

}  // namespace

Overload::Limit Overload::RefusesConnection() const {
  if (connections_ >= limits_.max_connections) return Limit::kConnections;
  if (requests_ >= limits_.max_requests) return Limit::kRequests;
  if (BufferedBytes() >= limits_.max_buffered_bytes) return Limit::kMemory;
  return Limit::kNone;
}

Overload::Limit Overload::RefusesRequest() const {
  if (requests_ > limits_.max_requests) return Limit::kRequests;
  if (BufferedBytes() >= limits_.max_buffered_bytes + limits_.max_buffered_bytes / 8) {
    return Limit::kMemory;
  }
  return Limit::kNone;
}

Overload::Limit Overload::ShedsIdle() const {
  if (connections_ >= limits_.max_connections) return Limit::kConnections;
  if (BufferedBytes() >= limits_.max_buffered_bytes + limits_.max_buffered_bytes / 4) {
    return Limit::kMemory;
  }
  return Limit::kNone;
}

const char* LimitLabel(Overload::Limit limit) {
  switch (limit) {
    case Overload::Limit::kNone:
      return "none";
    case Overload::Limit::kConnections:
      return "connections";
    case Overload::Limit::kRequests:
      return "requests";
    case Overload::Limit::kMemory:
      return "memory";
  }
  return "";
}

}  // namespace countersign::filter
