#include "proxy/trace/trace_context.h"

#include <algorithm>
#include <cstddef>

namespace countersign::trace {
namespace {

constexpr size_t kMaxTracestateMembers = 32;
constexpr size_t kMaxTracestateBytes = 512;
constexpr size_t kMaxKey = 256;
constexpr size_t kMaxTenant = 241;
constexpr size_t kMaxSystem = 14;
constexpr size_t kMaxValue = 256;

enum class Case : uint8_t { kLower, kAny };

int HexDigit(char c, Case letters) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (letters == Case::kAny && c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

// `text` has two characters for each byte of `out`.
bool ParseHex(absl::string_view text, Case letters, uint8_t* out) {
  for (size_t i = 0; i < text.size(); i += 2) {
    const int high = HexDigit(text[i], letters);
    const int low = HexDigit(text[i + 1], letters);
    if (high < 0 || low < 0) return false;
    out[i / 2] = static_cast<uint8_t>(high << 4 | low);
  }
  return true;
}

void FormatHex(const uint8_t* bytes, size_t size, char* out) {
  constexpr char kDigits[] = "0123456789abcdef";
  for (size_t i = 0; i < size; ++i) {
    out[2 * i] = kDigits[bytes[i] >> 4];
    out[2 * i + 1] = kDigits[bytes[i] & 0x0F];
  }
}

template <size_t kSize>
bool IsZero(const std::array<uint8_t, kSize>& id) {
  return std::all_of(id.begin(), id.end(), [](uint8_t byte) { return byte == 0; });
}

bool IsLowerAlpha(char c) { return c >= 'a' && c <= 'z'; }
bool IsKeyChar(char c) {
  return IsLowerAlpha(c) || (c >= '0' && c <= '9') || c == '_' || c == '-' || c == '*' || c == '/';
}

// Section 3.3.1.3.1: simple-key or tenant@system.
bool IsKey(absl::string_view key) {
  const size_t at = key.find('@');
  const absl::string_view first = key.substr(0, at);
  if (first.empty() || !std::all_of(first.begin(), first.end(), IsKeyChar)) return false;
  if (at == absl::string_view::npos) return IsLowerAlpha(key[0]) && key.size() <= kMaxKey;
  const absl::string_view system = key.substr(at + 1);
  return first.size() <= kMaxTenant && !system.empty() && system.size() <= kMaxSystem &&
         IsLowerAlpha(system[0]) && std::all_of(system.begin(), system.end(), IsKeyChar);
}

// Section 3.3.1.3.2.
bool IsValue(absl::string_view value) {
  return !value.empty() && value.size() <= kMaxValue && value.back() != ' ' &&
         std::all_of(value.begin(), value.end(),
                     [](char c) { return c >= 0x20 && c <= 0x7E && c != ',' && c != '='; });
}

absl::string_view Trim(absl::string_view text) {
  while (!text.empty() && (text.front() == ' ' || text.front() == '\t')) text.remove_prefix(1);
  while (!text.empty() && (text.back() == ' ' || text.back() == '\t')) text.remove_suffix(1);
  return text;
}

bool ParseB3Ids(absl::string_view trace_id, absl::string_view span_id, B3* b3) {
  if ((trace_id.size() != kTraceIdHex && trace_id.size() != kTraceIdHex / 2) ||
      span_id.size() != kSpanIdHex) {
    return false;
  }
  b3->short_trace_id = trace_id.size() != kTraceIdHex;
  uint8_t* low_half = b3->context.trace_id.data() + (b3->short_trace_id ? 8 : 0);
  return ParseHex(trace_id, Case::kAny, low_half) &&
         ParseHex(span_id, Case::kAny, b3->context.span_id.data()) &&
         !IsZero(b3->context.trace_id) && !IsZero(b3->context.span_id);
}

bool ParseSamplingState(absl::string_view state, B3* b3) {
  if (state == "1" || state == "d" || state == "true") {
    b3->sampled = true;
    b3->debug = state == "d";
  } else if (state == "0" || state == "false") {
    b3->sampled = false;
  } else {
    return false;
  }
  b3->context.sampled = *b3->sampled;
  return true;
}

}  // namespace

std::optional<SpanContext> ParseTraceparent(absl::string_view value) {
  if (value.size() < kTraceparentBytes || value[2] != '-' || value[35] != '-' || value[52] != '-') {
    return std::nullopt;
  }
  uint8_t version = 0;
  uint8_t flags = 0;
  SpanContext context;
  if (!ParseHex(value.substr(0, 2), Case::kLower, &version) || version == 0xFF ||
      !ParseHex(value.substr(3, kTraceIdHex), Case::kLower, context.trace_id.data()) ||
      !ParseHex(value.substr(36, kSpanIdHex), Case::kLower, context.span_id.data()) ||
      !ParseHex(value.substr(53, 2), Case::kLower, &flags)) {
    return std::nullopt;
  }
  if (value.size() > kTraceparentBytes && (version == 0 || value[kTraceparentBytes] != '-')) {
    return std::nullopt;
  }
  if (IsZero(context.trace_id) || IsZero(context.span_id)) return std::nullopt;
  context.sampled = (flags & 1) != 0;
  return context;
}

void FormatTraceparent(const SpanContext& context, char (&out)[kTraceparentBytes]) {
  out[0] = out[1] = '0';
  out[2] = out[35] = out[52] = '-';
  FormatHex(context.trace_id.data(), context.trace_id.size(), out + 3);
  FormatHex(context.span_id.data(), context.span_id.size(), out + 36);
  out[53] = '0';
  out[54] = context.sampled ? '1' : '0';
}

bool CheckTracestate(absl::string_view value, size_t* members, size_t* size) {
  *size += value.size();
  if (*size > kMaxTracestateBytes) return false;
  while (true) {
    const size_t comma = value.find(',');
    const absl::string_view member = Trim(value.substr(0, comma));
    if (!member.empty()) {  // empty ones are allowed, section 3.3.1.1
      const size_t equals = member.find('=');
      if (++*members > kMaxTracestateMembers || equals == absl::string_view::npos ||
          !IsKey(member.substr(0, equals)) || !IsValue(member.substr(equals + 1))) {
        return false;
      }
    }
    if (comma == absl::string_view::npos) return true;
    value.remove_prefix(comma + 1);
  }
}

std::optional<B3> ParseB3Single(absl::string_view value) {
  B3 b3;
  if (value.size() == 1) {
    return ParseSamplingState(value, &b3) ? std::make_optional(b3) : std::nullopt;
  }
  const size_t first = value.find('-');
  if (first == absl::string_view::npos) return std::nullopt;
  const absl::string_view trace_id = value.substr(0, first);
  value.remove_prefix(first + 1);
  const absl::string_view span_id = value.substr(0, kSpanIdHex);
  if (!ParseB3Ids(trace_id, span_id, &b3)) return std::nullopt;
  value.remove_prefix(kSpanIdHex);
  if (value.empty()) return b3;
  // `-STATE` and, after it, `-PARENT`, which nobody needs here, but which must be one.
  if (value.size() < 2 || value[0] != '-' || !ParseSamplingState(value.substr(1, 1), &b3)) {
    return std::nullopt;
  }
  value.remove_prefix(2);
  std::array<uint8_t, 8> parent;
  if (!value.empty() && (value.size() != 1 + kSpanIdHex || value[0] != '-' ||
                         !ParseHex(value.substr(1), Case::kAny, parent.data()))) {
    return std::nullopt;
  }
  return b3;
}

std::optional<B3> ParseB3Multi(absl::string_view trace_id, absl::string_view span_id,
                               absl::string_view sampled, absl::string_view flags) {
  B3 b3;
  if ((!trace_id.empty() || !span_id.empty()) && !ParseB3Ids(trace_id, span_id, &b3)) {
    return std::nullopt;
  }
  if (flags == "1") {
    ParseSamplingState("d", &b3);
  } else if (!sampled.empty() && !ParseSamplingState(sampled, &b3)) {
    return std::nullopt;
  }
  if (!b3.context.valid() && !b3.sampled.has_value()) return std::nullopt;
  return b3;
}

void FormatTraceId(const std::array<uint8_t, 16>& id, char (&out)[kTraceIdHex]) {
  FormatHex(id.data(), id.size(), out);
}

void FormatSpanId(const std::array<uint8_t, 8>& id, char (&out)[kSpanIdHex]) {
  FormatHex(id.data(), id.size(), out);
}

}  // namespace countersign::trace
