// Which requests are traced, and what their headers say of it.
#ifndef COUNTERSIGN_PROXY_TRACE_TRACER_H_
#define COUNTERSIGN_PROXY_TRACE_TRACER_H_

#include <array>
#include <chrono>
#include <cstdint>

#include "absl/strings/string_view.h"
#include "proxy/http/header_map.h"
#include "proxy/trace/span.h"

namespace countersign::trace {

// A request's place in its trace.
struct RequestTrace {
  SpanContext context;  // invalid: it belongs to none
  std::array<uint8_t, 8> parent_span_id{};
  bool reported = false;  // a span is owed to Submit; `context.span_id` is its own
};

// What a span tells of a request. The views need only live for the call.
struct RequestFacts {
  Span::Kind kind = Span::Kind::kServer;  // server: inbound, client: outbound
  absl::string_view method = {};
  absl::string_view authority = {};
  absl::string_view path = {};  // its query is left out: people put secrets there
  absl::string_view scheme = {};
  absl::string_view protocol = {};  // `HTTP/1.1`
  absl::string_view user_agent = {};
  absl::string_view route = {};
  absl::string_view cluster = {};
  absl::string_view peer_address = {};
  absl::string_view peer_id = {};  // SPIFFE ID
  absl::string_view flags = {};    // response flags
  uint16_t status = 0;
  int grpc_status = -1;
  std::chrono::system_clock::time_point start = {};
  std::chrono::system_clock::time_point end = {};
};

// One a worker, on its thread. `sink` (null: nobody collects) outlives it.
class Tracer {
 public:
  explicit Tracer(SpanSink* sink);

  // Reads where the request comes from and, if a span will be reported, writes that span into every
  // header that came, and into traceparent always. Where nothing is reported, headers stay as they
  // are: a span that nobody ever sees must not become anyone's parent. Of requests that bring no
  // decision, `sampled_per_million` are taken. Allocates nothing, but for what the map needs.
  RequestTrace Begin(http::HeaderMap& headers, uint32_t sampled_per_million);

  // Not for a trace that is not `reported`.
  void Submit(const RequestTrace& trace, const RequestFacts& facts);

 private:
  struct Incoming;

  static Incoming Read(const http::HeaderMap& headers);
  void Write(const RequestTrace& trace, const Incoming& incoming, http::HeaderMap& headers);
  bool Decide(uint32_t per_million);
  // xoshiro256**, seeded by the kernel: ids must differ, they keep no secret.
  uint64_t Random();

  SpanSink* const sink_;
  std::array<uint64_t, 4> state_;
};

}  // namespace countersign::trace

#endif  // COUNTERSIGN_PROXY_TRACE_TRACER_H_
