#include "proxy/router/response_flags.h"

namespace countersign::router {

std::string ResponseFlags::ToString() const {
  if (empty()) return "-";
  std::string out;
#define COUNTERSIGN_ROW(name, letters, meaning)             \
  if ((bits & (1u << response_flag_internal::name)) != 0) { \
    if (!out.empty()) out += ',';                           \
    out += letters;                                         \
  }
  COUNTERSIGN_RESPONSE_FLAGS(COUNTERSIGN_ROW)
#undef COUNTERSIGN_ROW
  return out;
}

}  // namespace countersign::router
