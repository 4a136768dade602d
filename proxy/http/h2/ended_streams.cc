#include "proxy/http/h2/ended_streams.h"

#include <nghttp2/nghttp2.h>

#include <algorithm>
#include <cstring>

namespace countersign::http::h2 {

size_t EndedStreams::Follow(const uint8_t* bytes, size_t n) {
  for (size_t at = 0;;) {
    const size_t skipped = std::min(skip_, n - at);
    skip_ -= skipped;
    at += skipped;
    if (at == n) return n;
    const uint8_t* head = bytes + at;
    const size_t begin = at;
    if (begun_ > 0 || n - at < kHead) {
      const size_t more = std::min(kHead - begun_, n - at);
      std::memcpy(head_ + begun_, head, more);
      begun_ += static_cast<uint8_t>(more);
      at += more;
      if (begun_ < kHead) return n;
      begun_ = 0;
      head = head_;
    } else {
      at += kHead;
    }
    if (!Judge(head)) return begin;
    skip_ = static_cast<size_t>(head[0]) << 16 | static_cast<size_t>(head[1]) << 8 | head[2];
  }
}

bool EndedStreams::Judge(const uint8_t* head) {
  const uint8_t type = head[3];
  const bool message = type == NGHTTP2_DATA || type == NGHTTP2_HEADERS;
  if (!message && type != NGHTTP2_RST_STREAM) return true;
  const uint32_t stream = static_cast<uint32_t>(head[5] & 0x7f) << 24 |
                          static_cast<uint32_t>(head[6]) << 16 |
                          static_cast<uint32_t>(head[7]) << 8 | head[8];
  uint32_t& slot = streams_[Slot(stream)];
  if (message && slot == stream && stream != 0) return false;
  if ((!message || (head[4] & NGHTTP2_FLAG_END_STREAM) != 0) && slot != (stream | kForgiven))
    slot = stream;
  return true;
}

}  // namespace countersign::http::h2
