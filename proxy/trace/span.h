// Distributed tracing: what is passed on, and what is reported.
#ifndef COUNTERSIGN_PROXY_TRACE_SPAN_H_
#define COUNTERSIGN_PROXY_TRACE_SPAN_H_

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <utility>
#include <vector>

namespace countersign::trace {

// W3C Trace Context, level 1; B3 is translated to and from it.
struct SpanContext {
  std::array<uint8_t, 16> trace_id{};
  std::array<uint8_t, 8> span_id{};
  bool sampled = false;

  bool valid() const { return trace_id != std::array<uint8_t, 16>{}; }
};

// A span that has ended. Names of attributes are OpenTelemetry's semantic conventions for HTTP.
struct Span {
  enum class Kind : uint8_t { kServer, kClient };
  SpanContext context;
  std::array<uint8_t, 8> parent_span_id{};  // zeros: a root
  Kind kind = Kind::kServer;
  std::string name;
  std::chrono::system_clock::time_point start;
  std::chrono::system_clock::time_point end;
  bool error = false;
  std::vector<std::pair<const char*, std::string>> attributes;
};

// Takes spans from any thread, never blocks, and drops (counted) what does not fit.
class SpanSink {
 public:
  virtual ~SpanSink() = default;
  virtual void Submit(Span span) = 0;
};

}  // namespace countersign::trace

#endif  // COUNTERSIGN_PROXY_TRACE_SPAN_H_
