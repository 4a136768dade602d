#include "proxy/http/h1/head_parser.h"

#include <algorithm>
#include <cstring>

#include "proxy/http/field_rules.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

namespace countersign::http::h1 {

namespace {

// The scans below read whole vectors: so many bytes after a head are the map's own, and zero.
constexpr size_t kPadding = 16;
constexpr size_t kMaxNameBytes = 256;
constexpr size_t kMaxMethodBytes = 32;
// 10^18 bytes are more than anyone sends; fewer digits cannot overflow.
constexpr size_t kMaxLengthDigits = 18;
constexpr size_t kMaxConnectionOptions = 16;

constexpr Fault kOk{};

// The first byte that no field value has: a control byte other than HTAB. There is one at the end.
inline const char* EndOfValue(const char* at) {
#ifdef __SSE2__
  const __m128i highest = _mm_set1_epi8(0x1f);
  const __m128i tab = _mm_set1_epi8('\t');
  const __m128i del = _mm_set1_epi8(0x7f);
  for (;; at += 16) {
    const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(at));
    const __m128i control = _mm_cmpeq_epi8(_mm_min_epu8(bytes, highest), bytes);
    const __m128i bad = _mm_or_si128(_mm_andnot_si128(_mm_cmpeq_epi8(bytes, tab), control),
                                     _mm_cmpeq_epi8(bytes, del));
    if (const unsigned found = _mm_movemask_epi8(bad); found != 0) {
      return at + __builtin_ctz(found);
    }
  }
#else
  for (;; ++at) {
    const uint8_t byte = static_cast<uint8_t>(*at);
    if ((byte < 0x20 && byte != '\t') || byte == 0x7f) return at;
  }
#endif
}

absl::string_view View(const char* begin, const char* end) {
  return {begin, static_cast<size_t>(end - begin)};
}

// `text` in `headers`' memory, with padding behind it.
char* CopyIn(absl::string_view text, HeaderMap& headers) {
  char* const copy = headers.Allocate(text.size() + kPadding);
  std::memcpy(copy, text.data(), text.size());
  std::memset(copy + text.size(), 0, kPadding);
  return copy;
}

// Digits alone. False for anything else.
bool ParseLength(absl::string_view text, uint64_t* length) {
  if (text.empty() || text.size() > kMaxLengthDigits) return false;
  uint64_t value = 0;
  for (const char c : text) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + static_cast<uint64_t>(c - '0');
  }
  *length = value;
  return true;
}

// What fields of the connection say, gathered while the fields are read.
struct Connection {
  bool close = false;
  bool keep_alive = false;
  bool upgrade = false;
  bool te_trailers = false;
  int hosts = 0;
  int lengths = 0;
  int codings = 0;  // Transfer-Encoding fields
  bool bad_length = false;
  absl::string_view host;
  absl::string_view coding;
  absl::string_view upgrade_to;
  uint64_t length = 0;
  absl::string_view options[kMaxConnectionOptions];  // names to remove
  size_t option_count = 0;
};

Fault TakeConnection(absl::string_view list, Connection& connection) {
  absl::string_view option;
  while (NextInList(list, option)) {
    if (EqualsLower(option, "close")) {
      connection.close = true;
    } else if (EqualsLower(option, "keep-alive")) {
      connection.keep_alive = true;
    } else if (EqualsLower(option, "upgrade")) {
      connection.upgrade = true;
    } else if (!IsToken(option)) {
      return {400, "Connection lists something that is no header name"};
    } else if (connection.option_count == kMaxConnectionOptions) {
      return {400, "Connection lists too many header names"};
    } else {
      connection.options[connection.option_count++] = option;
    }
  }
  return kOk;
}

// The first protocol other than h2c, which a proxy must not pass on: RFC 9113, section 3.1.
void TakeUpgrade(absl::string_view list, Connection& connection) {
  absl::string_view protocol;
  while (connection.upgrade_to.empty() && NextInList(list, protocol)) {
    if (!EqualsLower(protocol, "h2c")) connection.upgrade_to = protocol;
  }
}

// One field. Those of the connection are taken here, the others go to `headers`.
Fault TakeField(absl::string_view name, absl::string_view value, HeaderMap& headers,
                Connection& connection) {
  const HeaderId id = FindHeaderId(name);
  switch (id) {
    case HeaderId::kOther:
      headers.AddBorrowed(id, name, value);
      return kOk;
    case HeaderId::kConnection:
      return TakeConnection(value, connection);
    case HeaderId::kHost:
      ++connection.hosts;
      connection.host = value;
      return kOk;
    case HeaderId::kContentLength:
      ++connection.lengths;
      if (!ParseLength(value, &connection.length)) connection.bad_length = true;
      headers.AddBorrowed(id, value);
      return kOk;
    case HeaderId::kTransferEncoding:
      ++connection.codings;
      connection.coding = value;
      return kOk;
    case HeaderId::kUpgrade:
      TakeUpgrade(value, connection);
      return kOk;
    case HeaderId::kTe: {
      absl::string_view coding;
      while (NextInList(value, coding)) {
        if (EqualsLower(coding, "trailers")) connection.te_trailers = true;
      }
      return kOk;
    }
    case HeaderId::kHttp2Settings:
    case HeaderId::kKeepAlive:
    case HeaderId::kProxyConnection:
      return kOk;
    default:
      headers.AddBorrowed(id, value);
      return kOk;
  }
}

// The lines from `at` on; `end` is where the empty line begins. Names become lower case in place.
Fault ParseFields(char* at, const char* end, const CodecLimits& limits, HeaderMap& headers,
                  Connection& connection) {
  uint32_t count = 0;
  size_t bytes = 0;
  while (at < end) {
    char* const name = at;
    for (;; ++at) {
      const uint8_t lower = kTokenLower[static_cast<uint8_t>(*at)];
      if (lower == 0) break;
      *at = static_cast<char>(lower);
    }
    const size_t name_size = static_cast<size_t>(at - name);
    if (*at != ':') {
      if (name_size == 0 && (*at == ' ' || *at == '\t')) {
        return {400, "a header field is continued on the next line (obs-fold)"};
      }
      return {400, "a header name has a byte that no name has"};
    }
    if (name_size == 0) return {400, "a header field has no name"};
    if (name_size > kMaxNameBytes) return {400, "a header name is longer than 256 bytes"};
    ++at;
    while (*at == ' ' || *at == '\t') ++at;
    char* const value = at;
    at += EndOfValue(at) - at;
    if (at[0] != '\r' || at[1] != '\n') {
      return {400, "a header value has a control byte in it"};
    }
    const char* value_end = at;
    while (value_end > value && (value_end[-1] == ' ' || value_end[-1] == '\t')) --value_end;
    at += 2;
    bytes += name_size + static_cast<size_t>(value_end - value) + 32;
    if (++count > limits.max_headers || bytes > limits.max_header_bytes) {
      return {431, "the header fields are larger or more than this proxy takes"};
    }
    if (const Fault fault =
            TakeField({name, name_size}, View(value, value_end), headers, connection)) {
      return fault;
    }
  }
  return kOk;
}

// RFC 9110, section 7.6.1. What delimits or addresses the message is not up for removal.
void RemoveListed(const Connection& connection, HeaderMap& headers) {
  for (size_t i = 0; i < connection.option_count; ++i) {
    const absl::string_view option = connection.options[i];
    headers.RemoveIf([option](const Field& field) {
      return field.id != HeaderId::kContentLength && EqualsLower(option, field.name);
    });
  }
}

// RFC 9112, sections 6.1 to 6.3, of which every ambiguity is an error. `chunked`: the only coding
// that is understood. True in `delimited` if the message says where its body ends.
Fault TakeFraming(const Connection& connection, bool http10, BodyKind* body, uint64_t* length,
                  bool* delimited) {
  *delimited = false;
  if (connection.bad_length) return {400, "Content-Length is not a number of digits alone"};
  if (connection.lengths > 1) return {400, "there is more than one Content-Length"};
  if (connection.codings > 0) {
    if (connection.lengths > 0) {
      return {400, "there are both Content-Length and Transfer-Encoding"};
    }
    if (http10) return {400, "Transfer-Encoding has no meaning in HTTP/1.0"};
    if (connection.codings > 1) return {400, "there is more than one Transfer-Encoding"};
    if (!EqualsLower(connection.coding, "chunked")) {
      absl::string_view list = connection.coding;
      absl::string_view coding;
      int chunked = 0;
      bool last = false;
      while (NextInList(list, coding)) {
        last = EqualsLower(coding, "chunked");
        if (last) ++chunked;
      }
      if (!last || chunked > 1) return {400, "the last Transfer-Encoding is not chunked"};
      return {501, "of all transfer codings this proxy knows chunked alone"};
    }
    *body = BodyKind::kChunked;
    *delimited = true;
    return kOk;
  }
  if (connection.lengths > 0) {
    *length = connection.length;
    *body = connection.length > 0 ? BodyKind::kLength : BodyKind::kNone;
    *delimited = true;
  }
  return kOk;
}

// RFC 9112, section 3.2: the four forms of a request's target, and what Host must say to each.
Fault TakeTarget(absl::string_view target, const Connection& connection, RequestHead& head) {
  head.scheme = "http";
  head.authority = connection.host;
  if (!IsAuthority(connection.host)) return {400, "Host is not a host with a port"};
  if (head.method == "CONNECT") {
    if (target.empty() || target.find(':') == absl::string_view::npos || !IsAuthority(target)) {
      return {400, "the target of CONNECT is not a host with a port"};
    }
    if (connection.hosts > 0 && !connection.host.empty() && connection.host != target) {
      return {400, "Host and the target of CONNECT differ"};
    }
    head.authority = target;
    return kOk;
  }
  if (target[0] == '/') {
    head.path = target;
    return kOk;
  }
  if (target == "*") {
    if (head.method != "OPTIONS") return {400, "the target * is for OPTIONS alone"};
    head.path = target;
    return kOk;
  }
  const size_t colon = target.find("://");
  if (colon == absl::string_view::npos) return {400, "the request's target is no path and no URI"};
  const absl::string_view scheme = target.substr(0, colon);
  if (EqualsLower(scheme, "https")) {
    head.scheme = "https";
  } else if (!EqualsLower(scheme, "http")) {
    return {400, "the scheme of the request's target is neither http nor https"};
  }
  absl::string_view rest = target.substr(colon + 3);
  const size_t path = rest.find_first_of("/?");
  const absl::string_view authority = rest.substr(0, path);
  rest = path == absl::string_view::npos ? absl::string_view() : rest.substr(path);
  if (authority.empty() || !IsAuthority(authority)) {
    return {400, "the authority of the request's target is not a host with a port"};
  }
  if (connection.hosts > 0 && !IsSameAuthority(connection.host, authority, head.scheme)) {
    return {400, "Host and the request's target name different hosts"};
  }
  head.authority = authority;
  if (rest.empty()) {
    head.path = head.method == "OPTIONS" ? "*" : "/";
  } else if (rest[0] == '?') {
    char* const slashed = head.headers.Allocate(rest.size() + 1);
    slashed[0] = '/';
    std::memcpy(slashed + 1, rest.data(), rest.size());
    head.path = {slashed, rest.size() + 1};
  } else {
    head.path = rest;
  }
  return kOk;
}

}  // namespace

Fault ParseRequestHead(absl::string_view text, const CodecLimits& limits, RequestHead* head,
                       RequestFraming* framing) {
  char* at = CopyIn(text, head->headers);
  const char* const end = at + text.size() - 2;

  const char* const method = at;
  while (kTokenLower[static_cast<uint8_t>(*at)] != 0) ++at;
  if (at == method || *at != ' ' || static_cast<size_t>(at - method) > kMaxMethodBytes) {
    return {400, "the request does not begin with a method and a space"};
  }
  head->method = View(method, at);
  ++at;
  const char* const target = at;
  while (static_cast<uint8_t>(*at) > 0x20 && *at != 0x7f && *at != '#') ++at;
  if (static_cast<size_t>(at - method) > limits.max_request_line) {
    return {414, "the request's target is longer than this proxy takes"};
  }
  if (*at == '#') return {400, "the request's target has a fragment"};
  if (at == target || *at != ' ') return {400, "the request's target has a byte that no URI has"};
  const absl::string_view target_view = View(target, at);
  ++at;
  // What is left is at least the empty line, and zeros.
  if (std::memcmp(at, "HTTP/", 5) != 0 || at[5] < '0' || at[5] > '9' || at[6] != '.' ||
      at[7] < '0' || at[7] > '9' || at[8] != '\r' || at[9] != '\n') {
    return {400, "the request line does not end with the version of HTTP"};
  }
  if (at[5] != '1' || at[7] > '1') return {505, "this proxy speaks HTTP/1.0, HTTP/1.1 and HTTP/2"};
  const bool http10 = at[7] == '0';
  head->protocol = http10 ? Protocol::kHttp10 : Protocol::kHttp11;
  at += 10;

  Connection connection;
  if (const Fault fault = ParseFields(at, end, limits, head->headers, connection)) return fault;
  if (connection.hosts > 1) return {400, "there is more than one Host"};
  if (!http10 && (connection.hosts == 0 || connection.host.empty())) {
    return {400, "a request in HTTP/1.1 needs a Host"};
  }
  if (const Fault fault = TakeTarget(target_view, connection, *head)) return fault;
  bool delimited;
  if (const Fault fault =
          TakeFraming(connection, http10, &framing->body, &framing->length, &delimited)) {
    return fault;
  }
  framing->keep_alive = http10 ? connection.keep_alive && !connection.close : !connection.close;
  if (head->method == "CONNECT") {
    // RFC 9110, section 9.3.6: its content has no meaning.
    if (framing->body != BodyKind::kNone) return {400, "CONNECT has a body"};
    head->headers.Remove(HeaderId::kContentLength);
  } else if (connection.upgrade && !http10 && head->method == "GET" &&
             framing->body == BodyKind::kNone && IsToken(connection.upgrade_to)) {
    head->upgrade = connection.upgrade_to;
  }
  if (connection.option_count > 0) RemoveListed(connection, head->headers);
  if (connection.te_trailers) head->headers.AddBorrowed(HeaderId::kTe, "trailers");
  if (const Field* expect = head->headers.Find(HeaderId::kExpect); expect != nullptr) {
    framing->expects_continue = !http10 && EqualsLower(expect->value, "100-continue");
  }
  JoinCookies(head->headers);
  return kOk;
}

Fault ParseResponseHead(absl::string_view text, const CodecLimits& limits,
                        const ResponseContext& context, ResponseHead* head,
                        ResponseFraming* framing) {
  char* at = CopyIn(text, head->headers);
  const char* const end = at + text.size() - 2;
  // HTTP/1.x SP 3DIGIT; the space before a reason that is not there is often missing.
  if (text.size() < 16 || std::memcmp(at, "HTTP/1.", 7) != 0 || (at[7] != '0' && at[7] != '1') ||
      at[8] != ' ') {
    return {502, "the answer does not begin with HTTP/1.1 and a status"};
  }
  const bool http10 = at[7] == '0';
  head->protocol = http10 ? Protocol::kHttp10 : Protocol::kHttp11;
  at += 9;
  for (int i = 0; i < 3; ++i, ++at) {
    if (*at < '0' || *at > '9') return {502, "the answer's status is not of three digits"};
    head->status = static_cast<uint16_t>(head->status * 10 + (*at - '0'));
  }
  if (head->status < 100 || head->status > 599 || (*at != ' ' && *at != '\r')) {
    return {502, "the answer's status is not between 100 and 599"};
  }
  at += EndOfValue(at) - at;
  if (at[0] != '\r' || at[1] != '\n') return {502, "the answer's reason has a control byte in it"};
  at += 2;

  Connection connection;
  if (const Fault fault = ParseFields(at, end, limits, head->headers, connection)) return fault;
  if (connection.hosts > 0) head->headers.AddBorrowed(HeaderId::kHost, connection.host);
  framing->keep_alive = http10 ? connection.keep_alive && !connection.close : !connection.close;
  bool delimited;
  if (const Fault fault =
          TakeFraming(connection, http10, &framing->body, &framing->length, &delimited)) {
    return {502, fault.sentence};
  }
  const bool tunnel = head->status == 101 || (context.connect && head->status / 100 == 2);
  if (head->status < 200 || head->status == 204 || tunnel) {
    // RFC 9110, section 8.6, and RFC 9112, section 6.1: these have neither length nor coding, and a
    // peer that gives one may expect us to read what it means.
    if (framing->body != BodyKind::kNone) {
      return {502, "an answer that has no body says how long its body is"};
    }
    head->headers.Remove(HeaderId::kContentLength);
    framing->body = BodyKind::kNone;
  } else if (context.head || head->status == 304) {
    framing->body = BodyKind::kNone;
  } else if (!delimited) {
    framing->body = BodyKind::kUntilClose;
    framing->keep_alive = false;
  }
  if (connection.option_count > 0) RemoveListed(connection, head->headers);
  return kOk;
}

Fault ParseTrailers(absl::string_view text, const CodecLimits& limits, HeaderMap* trailers) {
  char* const at = CopyIn(text, *trailers);
  Connection connection;
  if (const Fault fault = ParseFields(at, at + text.size() - 2, limits, *trailers, connection)) {
    return fault;
  }
  trailers->RemoveIf(IsForbiddenInTrailers);
  return kOk;
}

}  // namespace countersign::http::h1
