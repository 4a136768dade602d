// Reads the heads of HTTP/1 messages: RFC 9112, as strictly as it may be read.
#ifndef COUNTERSIGN_PROXY_HTTP_H1_HEAD_PARSER_H_
#define COUNTERSIGN_PROXY_HTTP_H1_HEAD_PARSER_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "proxy/http/codec.h"
#include "proxy/http/message.h"

namespace countersign::http::h1 {

// How a message's body is delimited: RFC 9112, section 6.3.
enum class BodyKind : uint8_t { kNone, kLength, kChunked, kUntilClose };

// What is wrong with a head. `status` is what a server answers (a client takes any for a protocol
// error); 0: nothing is wrong. `sentence` lives for ever.
struct Fault {
  uint16_t status = 0;
  const char* sentence = "";
  explicit operator bool() const { return status != 0; }
};

// What a head says about its connection and its body.
struct RequestFraming {
  BodyKind body = BodyKind::kNone;
  uint64_t length = 0;
  bool keep_alive = true;
  bool expects_continue = false;
};
struct ResponseFraming {
  BodyKind body = BodyKind::kNone;
  uint64_t length = 0;
  bool keep_alive = true;
};

// `text` is the whole head with its empty line. It is copied into `head`'s memory, once, and read
// there. `head` must be cleared. Fields of the connection are not in it: see RequestHead.
Fault ParseRequestHead(absl::string_view text, const CodecLimits& limits, RequestHead* head,
                       RequestFraming* framing);

// What the response answers, without which its body cannot be found.
struct ResponseContext {
  bool head = false;     // the request was HEAD
  bool connect = false;  // CONNECT
};
Fault ParseResponseHead(absl::string_view text, const CodecLimits& limits,
                        const ResponseContext& context, ResponseHead* head,
                        ResponseFraming* framing);

// The fields after the last chunk, with their empty line. Those that may not stand in trailers are
// dropped.
Fault ParseTrailers(absl::string_view text, const CodecLimits& limits, HeaderMap* trailers);

}  // namespace countersign::http::h1

#endif  // COUNTERSIGN_PROXY_HTTP_H1_HEAD_PARSER_H_
