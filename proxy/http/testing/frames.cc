#include "proxy/http/testing/frames.h"

#include "absl/strings/str_cat.h"

namespace countersign::http::testing {

namespace {

// RFC 7541, section 5.1, with a prefix of 7 bits.
std::string Length(size_t n) {
  if (n < 127) return std::string(1, static_cast<char>(n));
  std::string text(1, '\x7f');
  for (n -= 127; n >= 128; n /= 128) text.push_back(static_cast<char>(n % 128 + 128));
  text.push_back(static_cast<char>(n));
  return text;
}

}  // namespace

std::string Frame(FrameType type, uint8_t flags, uint32_t stream, absl::string_view payload) {
  const auto size = static_cast<uint32_t>(payload.size());
  std::string frame = {static_cast<char>(size >> 16),   static_cast<char>(size >> 8),
                       static_cast<char>(size),         static_cast<char>(type),
                       static_cast<char>(flags),        static_cast<char>(stream >> 24),
                       static_cast<char>(stream >> 16), static_cast<char>(stream >> 8),
                       static_cast<char>(stream)};
  absl::StrAppend(&frame, payload);
  return frame;
}

std::string HeaderBlock(const Fields& fields) {
  std::string block;
  for (const auto& [name, value] : fields) {
    block.push_back('\0');
    absl::StrAppend(&block, Length(name.size()), name, Length(value.size()), value);
  }
  return block;
}

std::string PrintFields(const Fields& fields) {
  std::string text;
  for (const auto& [name, value] : fields) absl::StrAppend(&text, name, "=", value, " ");
  return text;
}

std::vector<ParsedFrame> ParseFrames(absl::string_view bytes) {
  std::vector<ParsedFrame> frames;
  const auto at = [&bytes](size_t i) {
    return static_cast<uint32_t>(static_cast<uint8_t>(bytes[i]));
  };
  while (bytes.size() >= 9) {
    const size_t size = at(0) << 16 | at(1) << 8 | at(2);
    if (bytes.size() < 9 + size) break;
    frames.push_back({static_cast<FrameType>(at(3)), static_cast<uint8_t>(at(4)),
                      at(5) << 24 | at(6) << 16 | at(7) << 8 | at(8),
                      std::string(bytes.substr(9, size))});
    bytes.remove_prefix(9 + size);
  }
  return frames;
}

}  // namespace countersign::http::testing
