// HTTP/2 frames by hand, for tests of what no library would send.
#ifndef COUNTERSIGN_PROXY_HTTP_TESTING_FRAMES_H_
#define COUNTERSIGN_PROXY_HTTP_TESTING_FRAMES_H_

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/string_view.h"

namespace countersign::http::testing {

inline constexpr absl::string_view kClientPreface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

enum class FrameType : uint8_t {
  kData,
  kHeaders,
  kPriority,
  kRstStream,
  kSettings,
  kPushPromise,
  kPing,
  kGoaway,
  kWindowUpdate,
  kContinuation,
};

std::string Frame(FrameType type, uint8_t flags, uint32_t stream, absl::string_view payload);

using Fields = std::vector<std::pair<std::string, std::string>>;
// Literals without indexing and without Huffman's code: RFC 7541, section 6.2.2.
std::string HeaderBlock(const Fields& fields);
std::string PrintFields(const Fields& fields);

struct ParsedFrame {
  FrameType type;
  uint8_t flags;
  uint32_t stream;
  std::string payload;
};
// Of a server's output; a frame that is cut off is left out.
std::vector<ParsedFrame> ParseFrames(absl::string_view bytes);

}  // namespace countersign::http::testing

#endif  // COUNTERSIGN_PROXY_HTTP_TESTING_FRAMES_H_
