#include "proxy/http/header_id.h"

namespace countersign::http {

HeaderId FindHeaderId(absl::string_view name) {
  // The compiler makes a jump by length of this; within a length few names are left to compare.
  switch (name.size()) {
#define COUNTERSIGN_ROW(id, text) \
  if (name.size() == sizeof(text) - 1 && name == text) return HeaderId::id;
    default:
      COUNTERSIGN_HTTP_HEADERS(COUNTERSIGN_ROW)
#undef COUNTERSIGN_ROW
  }
  return HeaderId::kOther;
}

absl::string_view HeaderName(HeaderId id) {
  switch (id) {
#define COUNTERSIGN_ROW(id, text) \
  case HeaderId::id:              \
    return text;
    COUNTERSIGN_HTTP_HEADERS(COUNTERSIGN_ROW)
#undef COUNTERSIGN_ROW
    case HeaderId::kOther:
      break;
  }
  return "";
}

}  // namespace countersign::http
