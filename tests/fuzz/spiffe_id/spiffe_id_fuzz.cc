// SPIFFE IDs: whatever parses is exactly what was given, and its parts are inside the limits.
#include <cstdint>
#include <cstdlib>
#include <string>

#include "api/spiffe/spiffe_id.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using countersign::spiffe::SpiffeId;
  const absl::string_view uri(reinterpret_cast<const char*>(data), size);
  absl::StatusOr<SpiffeId> id = SpiffeId::Parse(uri);
  if (!id.ok()) {
    // Errors go into logs: they must not carry control bytes.
    for (char c : id.status().message()) {
      if (c < 0x20 || c == 0x7f) std::abort();
    }
    return 0;
  }
  if (absl::string_view(id->ToString()) != uri) std::abort();
  if (id->trust_domain().empty() || id->trust_domain().size() > 255 || uri.size() > 2048) {
    std::abort();
  }
  if (uri.find('%') != absl::string_view::npos || uri.find('\0') != absl::string_view::npos) {
    std::abort();
  }
  // In the path alone: `..` is an odd trust domain, but the standard's character set allows it.
  const std::string path(std::string(id->path()) + "/");
  if (path.find("/../") != std::string::npos || path.find("/./") != std::string::npos) {
    std::abort();
  }
  return 0;
}
