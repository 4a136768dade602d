// When the peer of an HTTP/2 session may send more.
#ifndef COUNTERSIGN_PROXY_HTTP_H2_RECEIVE_WINDOWS_H_
#define COUNTERSIGN_PROXY_HTTP_H2_RECEIVE_WINDOWS_H_

#include <nghttp2/nghttp2.h>

#include <cstddef>
#include <cstdint>
#include <utility>

namespace countersign::http::h2 {

// Stream windows follow the readers: bytes that arrive while reading is disabled are acknowledged
// when it is enabled again. The connection's window is acknowledged at once, so that one stalled
// stream does not stop the others, until kMaxHeld bytes wait in all. A member of its session, which
// hands itself in.
class ReceiveWindows {
 public:
  static constexpr size_t kMaxHeld = 8 << 20;

  // `n` bytes have come and been taken, or are of no use to anybody. (The stream may be gone; its
  // window is then of no interest.)
  void Take(nghttp2_session* session, int32_t stream, size_t n) {
    nghttp2_session_consume_connection(session, n);
    (void)nghttp2_session_consume_stream(session, stream, n);
  }

  // `n` bytes have come for a stream whose reading is disabled. `unconsumed`: its bytes that wait.
  void Hold(nghttp2_session* session, size_t n, size_t& unconsumed) {
    unconsumed += n;
    held_ += n;
    if (held_ > kMaxHeld) {
      connection_unconsumed_ += n;
    } else {
      nghttp2_session_consume_connection(session, n);
    }
  }

  // What waits for the stream's reader is taken now, or never will be. False: nothing does.
  bool Release(nghttp2_session* session, int32_t stream, size_t& unconsumed) {
    if (unconsumed == 0) return false;
    held_ -= unconsumed;
    (void)nghttp2_session_consume_stream(session, stream, std::exchange(unconsumed, 0));
    if (connection_unconsumed_ > 0 && held_ <= kMaxHeld) {
      nghttp2_session_consume_connection(session, std::exchange(connection_unconsumed_, 0));
    }
    return true;
  }

 private:
  size_t held_ = 0;
  size_t connection_unconsumed_ = 0;
};

}  // namespace countersign::http::h2

#endif  // COUNTERSIGN_PROXY_HTTP_H2_RECEIVE_WINDOWS_H_
