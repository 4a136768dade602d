#include "proxy/http/h2/unknown_frames.h"

#include <cstddef>
#include <cstdint>

namespace countersign::http::h2 {

namespace {

int Unpack(nghttp2_session*, void** payload, const nghttp2_frame_hd*, void*) {
  *payload = nullptr;
  return 0;
}

int OnBytes(nghttp2_session*, const nghttp2_frame_hd*, const uint8_t*, size_t, void*) { return 0; }

}  // namespace

void ReportUnknownFrames(nghttp2_option* options) {
  for (int type = NGHTTP2_CONTINUATION + 1; type <= 0xff; ++type) {
    nghttp2_option_set_user_recv_extension_type(options, static_cast<uint8_t>(type));
  }
}

void ReportUnknownFrames(nghttp2_session_callbacks* callbacks) {
  nghttp2_session_callbacks_set_unpack_extension_callback(callbacks, &Unpack);
  nghttp2_session_callbacks_set_on_extension_chunk_recv_callback(callbacks, &OnBytes);
}

}  // namespace countersign::http::h2
