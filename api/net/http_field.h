// Which HTTP header fields configuration may speak of: both ends of the configuration stream hold
// people to the same rules.
#ifndef COUNTERSIGN_API_NET_HTTP_FIELD_H_
#define COUNTERSIGN_API_NET_HTTP_FIELD_H_

#include "absl/strings/string_view.h"

namespace countersign::net {

// RFC 9110, section 5.6.2: a token. At most 256 bytes.
bool IsHeaderName(absl::string_view name);
// RFC 9110, section 5.5, without obs-text: visible ASCII, spaces and tabs, no white space at the
// ends. At most 8192 bytes.
bool IsHeaderValue(absl::string_view value);
// Why nobody may set, add or remove this field of a message (case does not matter); null if they
// may. Framing and routing are the proxies' own, and so is who the caller is.
const char* WhyUntouchable(absl::string_view name);
// RFC 3986, section 3.3: an absolute path of printable ASCII without `?` and `#`.
bool IsAbsolutePath(absl::string_view path);

}  // namespace countersign::net

#endif  // COUNTERSIGN_API_NET_HTTP_FIELD_H_
