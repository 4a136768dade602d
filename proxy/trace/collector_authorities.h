// Whom a collector's certificate must come from.
#ifndef COUNTERSIGN_PROXY_TRACE_COLLECTOR_AUTHORITIES_H_
#define COUNTERSIGN_PROXY_TRACE_COLLECTOR_AUTHORITIES_H_

#include <string>

#include "absl/status/statusor.h"

namespace countersign::trace {

// The PEM certificates in a file: at least one, and all of them readable, since a file that is
// damaged would show only later, as a collector that is not trusted. Errors name the file and the
// flag.
absl::StatusOr<std::string> ReadAuthorities(const std::string& path);

}  // namespace countersign::trace

#endif  // COUNTERSIGN_PROXY_TRACE_COLLECTOR_AUTHORITIES_H_
