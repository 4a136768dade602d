#include "proxy/trace/tracer.h"

#include <sys/random.h>

#include <bit>
#include <cstring>
#include <ctime>
#include <optional>
#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proxy/trace/trace_context.h"

namespace countersign::trace {

using http::HeaderId;

namespace {

constexpr absl::string_view kB3Flags = "x-b3-flags";
constexpr uint32_t kMillion = 1'000'000;
// A span is a report, not a copy of the request.
constexpr size_t kMaxAttributeBytes = 1024;
constexpr uint16_t kFirstServerError = 500;

uint64_t SplitMix(uint64_t& state) {
  state += 0x9E3779B97F4A7C15u;
  uint64_t z = state;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

}  // namespace

// What the headers said.
struct Tracer::Incoming {
  SpanContext context;  // invalid: none
  std::optional<bool> sampled;
  bool debug = false;
  bool short_trace_id = false;
  bool traceparent = false;  // valid
  bool b3_single = false;
  bool b3_multi = false;
  bool tracestate = false;  // present
  bool tracestate_ok = true;
};

Tracer::Tracer(SpanSink* sink) : sink_(sink) {
  uint64_t seed = 0;
  if (getrandom(&seed, sizeof seed, GRND_NONBLOCK) != sizeof seed) {
    seed = static_cast<uint64_t>(std::time(nullptr)) ^ reinterpret_cast<uintptr_t>(this);
  }
  for (uint64_t& word : state_) word = SplitMix(seed);
}

uint64_t Tracer::Random() {
  const uint64_t result = std::rotl(state_[1] * 5, 7) * 9;
  const uint64_t t = state_[1] << 17;
  state_[2] ^= state_[0];
  state_[3] ^= state_[1];
  state_[1] ^= state_[2];
  state_[0] ^= state_[3];
  state_[2] ^= t;
  state_[3] = std::rotl(state_[3], 45);
  return result;
}

bool Tracer::Decide(uint32_t per_million) {
  return per_million != 0 && Random() % kMillion < per_million;
}

Tracer::Incoming Tracer::Read(const http::HeaderMap& headers) {
  Incoming incoming;
  absl::string_view traceparent;
  size_t traceparents = 0;
  size_t members = 0;
  size_t tracestate_size = 0;
  absl::string_view b3;
  absl::string_view trace_id;
  absl::string_view span_id;
  absl::string_view sampled;
  for (const http::Field& field : headers.fields()) {
    switch (field.id) {
      case HeaderId::kTraceparent:
        traceparent = field.value;
        ++traceparents;
        break;
      case HeaderId::kTracestate:
        incoming.tracestate = true;
        incoming.tracestate_ok =
            incoming.tracestate_ok && CheckTracestate(field.value, &members, &tracestate_size);
        break;
      case HeaderId::kB3:
        b3 = field.value;
        break;
      case HeaderId::kB3TraceId:
        trace_id = field.value;
        break;
      case HeaderId::kB3SpanId:
        span_id = field.value;
        break;
      case HeaderId::kB3Sampled:
        sampled = field.value;
        break;
      default:
        break;
    }
  }
  const auto take = [&incoming](const std::optional<B3>& found) {
    if (!found.has_value()) return false;
    if (!incoming.context.valid()) {
      incoming.context = found->context;
      incoming.sampled = found->sampled;
      incoming.short_trace_id = found->short_trace_id;
    }
    incoming.debug = incoming.debug || found->debug;
    return true;
  };
  // W3C Trace Context, section 3.2: more than one traceparent is as none.
  if (traceparents == 1) {
    if (const std::optional<SpanContext> parsed = ParseTraceparent(traceparent)) {
      incoming.context = *parsed;
      incoming.sampled = parsed->sampled;
      incoming.traceparent = true;
    }
  }
  if (!b3.empty()) incoming.b3_single = take(ParseB3Single(b3));
  if (!trace_id.empty() || !sampled.empty()) {
    const http::Field* flags = headers.Find(kB3Flags);
    incoming.b3_multi = take(ParseB3Multi(trace_id, span_id, sampled,
                                          flags == nullptr ? absl::string_view() : flags->value));
  }
  return incoming;
}

RequestTrace Tracer::Begin(http::HeaderMap& headers, uint32_t sampled_per_million) {
  const Incoming incoming = Read(headers);
  RequestTrace trace;
  trace.context = incoming.context;
  if (sink_ == nullptr) return trace;
  const bool known = incoming.context.valid();
  if (incoming.sampled.has_value()) {
    trace.context.sampled = *incoming.sampled || incoming.debug;
  } else if (known || sampled_per_million != 0) {
    trace.context.sampled = incoming.debug || Decide(sampled_per_million);
  }
  // A decision alone, or none and nothing to decide: pass on what came.
  if (!trace.context.sampled &&
      (known || incoming.sampled.has_value() || sampled_per_million == 0)) {
    return trace;
  }
  if (known) {
    trace.parent_span_id = incoming.context.span_id;
  } else {
    const uint64_t id[2] = {Random() | 1, Random()};  // never all zeros
    std::memcpy(trace.context.trace_id.data(), id, sizeof id);
  }
  const uint64_t span_id = Random() | 1;
  std::memcpy(trace.context.span_id.data(), &span_id, sizeof span_id);
  trace.reported = trace.context.sampled;
  Write(trace, incoming, headers);
  return trace;
}

void Tracer::Write(const RequestTrace& trace, const Incoming& incoming, http::HeaderMap& headers) {
  char traceparent[kTraceparentBytes];
  FormatTraceparent(trace.context, traceparent);
  headers.Set(HeaderId::kTraceparent, absl::string_view(traceparent, sizeof traceparent));
  // Section 3.3: it belongs to a traceparent, and is dropped whole when it is malformed.
  if (incoming.tracestate && (!incoming.traceparent || !incoming.tracestate_ok)) {
    headers.Remove(HeaderId::kTracestate);
  }
  if (!incoming.b3_single && !incoming.b3_multi) return;
  char trace_id_hex[kTraceIdHex];
  char span_id_hex[kSpanIdHex];
  char parent_hex[kSpanIdHex];
  FormatTraceId(trace.context.trace_id, trace_id_hex);
  FormatSpanId(trace.context.span_id, span_id_hex);
  FormatSpanId(trace.parent_span_id, parent_hex);
  absl::string_view trace_id(trace_id_hex, kTraceIdHex);
  if (incoming.short_trace_id) trace_id.remove_prefix(kTraceIdHex / 2);
  const absl::string_view span_id(span_id_hex, kSpanIdHex);
  const absl::string_view parent(parent_hex, incoming.context.valid() ? kSpanIdHex : 0);
  const absl::string_view state = incoming.debug ? "d" : trace.context.sampled ? "1" : "0";
  if (incoming.b3_single) {
    char b3[kTraceIdHex + 2 * kSpanIdHex + 4];
    size_t size = 0;
    const auto append = [&b3, &size](absl::string_view text) {
      std::memcpy(b3 + size, text.data(), text.size());
      size += text.size();
    };
    append(trace_id);
    append("-");
    append(span_id);
    append("-");
    append(state);
    if (!parent.empty()) {
      append("-");
      append(parent);
    }
    headers.Set(HeaderId::kB3, absl::string_view(b3, size));
  }
  if (incoming.b3_multi) {
    headers.Set(HeaderId::kB3TraceId, trace_id);
    headers.Set(HeaderId::kB3SpanId, span_id);
    if (parent.empty()) {
      headers.Remove(HeaderId::kB3ParentSpanId);
    } else {
      headers.Set(HeaderId::kB3ParentSpanId, parent);
    }
    // The debug flag implies the decision, which is not sent beside it.
    if (!incoming.debug) headers.Set(HeaderId::kB3Sampled, state);
  }
}

void Tracer::Submit(const RequestTrace& trace, const RequestFacts& facts) {
  Span span;
  span.context = trace.context;
  span.parent_span_id = trace.parent_span_id;
  span.kind = facts.kind;
  // OpenTelemetry: the method and a name of low cardinality; never the path.
  span.name = facts.route.empty() ? std::string(facts.method.substr(0, kMaxAttributeBytes))
                                  : absl::StrCat(facts.method.substr(0, kMaxAttributeBytes), " ",
                                                 facts.route.substr(0, kMaxAttributeBytes));
  span.start = facts.start;
  span.end = facts.end;
  span.error = facts.status >= kFirstServerError || facts.status == 0 || facts.grpc_status > 0;
  const auto add = [&span](const char* name, absl::string_view value) {
    if (!value.empty()) {
      span.attributes.emplace_back(name, std::string(value.substr(0, kMaxAttributeBytes)));
    }
  };
  add("http.request.method", facts.method);
  add("server.address", facts.authority);
  add("url.scheme", facts.scheme);
  add("url.path", facts.path.substr(0, facts.path.find('?')));
  add("network.protocol.version", facts.protocol.substr(facts.protocol.find('/') + 1));
  add("user_agent.original", facts.user_agent);
  add("network.peer.address", facts.peer_address);
  add("countersign.peer.principal", facts.peer_id);
  add("countersign.upstream.cluster", facts.cluster);
  add("countersign.response_flags", facts.flags == "-" ? absl::string_view() : facts.flags);
  if (facts.status != 0) add("http.response.status_code", absl::StrCat(facts.status));
  if (facts.grpc_status >= 0) add("rpc.grpc.status_code", absl::StrCat(facts.grpc_status));
  sink_->Submit(std::move(span));
}

}  // namespace countersign::trace
