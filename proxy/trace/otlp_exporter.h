#ifndef COUNTERSIGN_PROXY_TRACE_OTLP_EXPORTER_H_
#define COUNTERSIGN_PROXY_TRACE_OTLP_EXPORTER_H_

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <mutex>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "proxy/stats/registry.h"
#include "proxy/trace/span.h"

namespace countersign::trace {

struct OtlpExporterOptions {
  std::string endpoint;         // host:port of a collector that speaks OTLP over gRPC
  bool tls = false;             // and then its certificate must be for that host
  std::string authorities_pem;  // with `tls`; empty: the system's
  std::string service_name;
  std::string service_namespace;
  std::string instance;  // which proxy of the service
  size_t max_queued = 2048;
  size_t max_batch = 512;  // spans in one call
  std::chrono::milliseconds interval{2'000};
  std::chrono::milliseconds call_timeout{5'000};
  std::chrono::milliseconds last_call_timeout{1'000};  // at the end
};

// Sends spans to a collector in batches (opentelemetry.proto.collector.trace.v1), from one thread
// of its own. What the collector does not take is dropped and counted, never tried again: spans are
// worth less than the memory that they would pile up in.
//
// Submit takes a lock, for as long as a vector takes a span; only requests that are sampled come
// here, and the other side holds it as long as it takes to swap two vectors.
//
// Made only where a collector is configured. Lifetime: longer than the workers'. The destructor
// waits for the call that is under way, then sends what is left, and waits at most
// last_call_timeout for that.
class OtlpExporter final : public SpanSink {
 public:
  OtlpExporter(OtlpExporterOptions options, stats::Registry& stats);
  ~OtlpExporter() override;

  void Submit(Span span) override;

 private:
  class Channel;

  void Run();
  void Export(Channel& channel, std::vector<Span>& spans, std::chrono::milliseconds timeout);
  std::string Serialize(std::vector<Span>::const_iterator begin,
                        std::vector<Span>::const_iterator end) const;

  const OtlpExporterOptions options_;
  stats::Registry& stats_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<Span> queue_;
  uint64_t dropped_ = 0;  // for want of room, since the thread last looked
  bool stop_ = false;
  std::optional<std::chrono::steady_clock::time_point> complained_at_;  // the thread's own
  std::thread thread_;
};

}  // namespace countersign::trace

#endif  // COUNTERSIGN_PROXY_TRACE_OTLP_EXPORTER_H_
