// Whether a client's first bytes are HTTP.
#ifndef COUNTERSIGN_PROXY_LISTENER_HTTP_DETECTOR_H_
#define COUNTERSIGN_PROXY_LISTENER_HTTP_DETECTOR_H_

#include <cstddef>
#include <cstdint>

#include "absl/strings/string_view.h"

namespace countersign::listener {

enum class Detected : uint8_t {
  kNeedMore,  // so far it may be HTTP
  kHttp1,     // a request line
  kHttp2,     // the preface of HTTP/2 with prior knowledge
  kOther,
};

// A first line that is longer, and begins as a request line does, is taken for HTTP/1: its codec
// refuses it in words.
inline constexpr size_t kMaxDetectedLine = 8 * 1024;

// `bytes`: everything that the client has sent so far. The whole of `METHOD SP target SP HTTP/1.`
// (RFC 9112, section 3) or of the preface (RFC 9113, section 3.4) must be there: protocols of lines
// that begin with a word (`SET key value` of Redis, `get key` of memcached) are none. What lenient
// servers take for a request is one here too, for the strict codec to refuse: any token as method
// (which is not waited for if it is none of the usual ones), empty lines before it, LF alone. But
// nothing that is guessed is sure: what must be judged as HTTP is declared. Pure, linear.
Detected DetectHttp(absl::string_view bytes);

// The same where HTTP is spoken for sure: kHttp1 for all that is not the preface of HTTP/2.
Detected DetectPreface(absl::string_view bytes);

// The one or the other: `declared` says that HTTP is spoken for sure. With `end` nothing follows
// `bytes`, and the answer is not kNeedMore: what has only begun is HTTP/1 where HTTP is declared.
Detected Detect(absl::string_view bytes, bool declared, bool end);

}  // namespace countersign::listener

#endif  // COUNTERSIGN_PROXY_LISTENER_HTTP_DETECTOR_H_
