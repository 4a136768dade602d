// The admin pages' request parser: what it takes is whole, and what it refuses has an answer.
#include <cstdint>
#include <cstdlib>

#include "proxy/admin/request.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace countersign::admin;  // NOLINT: one function
  const absl::string_view bytes(reinterpret_cast<const char*>(data), size);
  Request request;
  Response error;
  switch (ParseRequest(bytes, &request, &error)) {
    case ParseResult::kDone:
      if (request.path.empty() || request.path[0] != '/' || request.host.empty()) std::abort();
      if (request.path.find_first_of("\r\n") != std::string::npos) std::abort();
      break;
    case ParseResult::kError:
      if (error.status < 400 || error.body.empty()) std::abort();
      break;
    case ParseResult::kIncomplete:
      if (size >= kMaxRequestBytes) std::abort();  // would be waited for without end
      break;
  }
  return 0;
}
