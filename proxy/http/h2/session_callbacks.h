// What nghttp2 calls, and how it is set up: the session's other half, apart from it for its length.
#ifndef COUNTERSIGN_PROXY_HTTP_H2_SESSION_CALLBACKS_H_
#define COUNTERSIGN_PROXY_HTTP_H2_SESSION_CALLBACKS_H_

#include <nghttp2/nghttp2.h>
#include <sys/types.h>

#include <cstddef>
#include <cstdint>

#include "proxy/http/h2/session.h"

namespace countersign::http::h2 {

// `user` is the session. No state of its own.
struct Session::Callbacks {
  // One table of callbacks serves all sessions of all threads.
  static const nghttp2_session_callbacks* Table();

  static Session& Self(void* user) { return *static_cast<Session*>(user); }

  static ssize_t Send(nghttp2_session*, const uint8_t* data, size_t length, int, void* user);
  static ssize_t ReadLength(nghttp2_session*, uint8_t, int32_t, int32_t session_window,
                            int32_t stream_window, uint32_t max_frame, void* user);
  static ssize_t Read(nghttp2_session*, int32_t id, uint8_t*, size_t length, uint32_t* flags,
                      nghttp2_data_source*, void* user);
  static int SendData(nghttp2_session*, nghttp2_frame* frame, const uint8_t* header, size_t length,
                      nghttp2_data_source*, void* user);
  // Of an answer of the codec's own: `source` is text that lives for ever.
  static ssize_t ReadText(nghttp2_session*, int32_t, uint8_t* out, size_t length, uint32_t* flags,
                          nghttp2_data_source* source, void*);
  static int OnFrameSend(nghttp2_session*, const nghttp2_frame* frame, void* user);
  // Here nothing escapes the count: frames that nghttp2 ignores are not reported when complete.
  static int OnBeginFrame(nghttp2_session*, const nghttp2_frame_hd* header, void* user);
  static int OnBeginHeaders(nghttp2_session* session, const nghttp2_frame* frame, void* user);
  static int OnHeader(nghttp2_session*, const nghttp2_frame*, const uint8_t* name,
                      size_t name_length, const uint8_t* value, size_t value_length, uint8_t,
                      void* user);
  // Uppercase and other bytes that no field may have, and fields of a connection (RFC 9113,
  // sections 8.2.1 and 8.2.2): without this nghttp2 would drop the field and go on.
  static int OnInvalidHeader(nghttp2_session*, const nghttp2_frame*, const uint8_t*, size_t,
                             const uint8_t*, size_t, uint8_t, void* user);
  static int OnFrameReceived(nghttp2_session*, const nghttp2_frame* frame, void* user);
  static int OnInvalidFrame(nghttp2_session*, const nghttp2_frame* frame, int code, void* user);
  static int OnDataChunk(nghttp2_session*, uint8_t flags, int32_t id, const uint8_t* data,
                         size_t length, void* user);
  static int OnStreamClose(nghttp2_session*, int32_t id, uint32_t error_code, void* user);
};

}  // namespace countersign::http::h2

#endif  // COUNTERSIGN_PROXY_HTTP_H2_SESSION_CALLBACKS_H_
