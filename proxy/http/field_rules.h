// What RFC 9110 says about single fields: which bytes they may have, and where they may stand.
#ifndef COUNTERSIGN_PROXY_HTTP_FIELD_RULES_H_
#define COUNTERSIGN_PROXY_HTTP_FIELD_RULES_H_

#include <cstdint>

#include "absl/strings/string_view.h"
#include "proxy/http/header_map.h"

namespace countersign::http {

// For each byte: its lower case if it may stand in a token (RFC 9110, section 5.6.2), else 0.
extern const uint8_t kTokenLower[256];

bool IsToken(absl::string_view text);
// No NUL, CR or LF nor any other control byte but HTAB (RFC 9110, section 5.5, strictly).
bool IsFieldValue(absl::string_view text);
// `host[:port]` with bytes that URIs have there; no userinfo.
bool IsAuthority(absl::string_view text);
// The same host and port to `scheme`: letters' case is of no account, nor whether the port that is
// the scheme's own is said (RFC 9110, section 4.2.3).
bool IsSameAuthority(absl::string_view a, absl::string_view b, absl::string_view scheme);
// Bytes of a path with query: visible, no `#`.
bool IsPath(absl::string_view text);
// Letters' case is of no account. `lower` is in lower case.
bool EqualsLower(absl::string_view text, absl::string_view lower);

// The next element of a comma-separated list, without the white space around it; takes it off
// `list`. False at the end. Empty elements are skipped (RFC 9110, section 5.6.1.2).
bool NextInList(absl::string_view& list, absl::string_view& element);

// Belongs to one connection alone (RFC 9110, section 7.6.1).
bool IsConnectionSpecific(HeaderId id);
// Fields that would change a message after the fact: framing, routing, authentication, caller's
// identity (RFC 9110, section 6.5.1).
bool IsForbiddenInTrailers(const Field& field);

// Joins several `cookie` fields by `; ` (RFC 9113, section 8.2.3).
void JoinCookies(HeaderMap& headers);

}  // namespace countersign::http

#endif  // COUNTERSIGN_PROXY_HTTP_FIELD_RULES_H_
