// What carries a trace from process to process: W3C Trace Context and B3, text to numbers and back.
#ifndef COUNTERSIGN_PROXY_TRACE_TRACE_CONTEXT_H_
#define COUNTERSIGN_PROXY_TRACE_TRACE_CONTEXT_H_

#include <array>
#include <cstdint>
#include <optional>

#include "absl/strings/string_view.h"
#include "proxy/trace/span.h"

namespace countersign::trace {

inline constexpr size_t kTraceparentBytes = 55;
inline constexpr size_t kTraceIdHex = 32;
inline constexpr size_t kSpanIdHex = 16;

// W3C Trace Context level 1, section 3.2, strictly: lower-case hexadecimal, no zero ids, version 00
// of exactly 55 characters, later ones read as far as 00 goes, ff never.
std::optional<SpanContext> ParseTraceparent(absl::string_view value);
// Version 00; of the flags only `sampled`.
void FormatTraceparent(const SpanContext& context, char (&out)[kTraceparentBytes]);

// Section 3.3.1: at most 32 members `key=value` of the grammar, and 512 characters. One header's
// value; several headers are one list, so the members and characters before this one are passed on
// in `members` and `size`.
bool CheckTracestate(absl::string_view value, size_t* members, size_t* size);

// B3 (openzipkin/b3-propagation). Ids may be upper case or, for the trace, 64 bits long.
struct B3 {
  SpanContext context;          // invalid where only a decision was sent
  std::optional<bool> sampled;  // none: left to us
  bool debug = false;           // sampled whatever else is said; must stay so
  bool short_trace_id = false;  // 64 bits
};
std::optional<B3> ParseB3Single(absl::string_view value);
// The values of x-b3-traceid, -spanid, -sampled and -flags; empty where the header is missing.
std::optional<B3> ParseB3Multi(absl::string_view trace_id, absl::string_view span_id,
                               absl::string_view sampled, absl::string_view flags);

void FormatTraceId(const std::array<uint8_t, 16>& id, char (&out)[kTraceIdHex]);
void FormatSpanId(const std::array<uint8_t, 8>& id, char (&out)[kSpanIdHex]);

}  // namespace countersign::trace

#endif  // COUNTERSIGN_PROXY_TRACE_TRACE_CONTEXT_H_
