// What a stream of an HTTP/2 session is to the session, in either role.
#ifndef COUNTERSIGN_PROXY_HTTP_H2_STREAM_CORE_H_
#define COUNTERSIGN_PROXY_HTTP_H2_STREAM_CORE_H_

#include <cstddef>
#include <cstdint>

#include "proxy/buffer/buffer.h"
#include "proxy/http/codec.h"

namespace countersign::http::h2 {

class Session;

// Belongs to its session, in whose list of live streams it stands, until the session releases it;
// then to its thread's pool, where it keeps its memory for the next request.
class StreamCore {
 public:
  StreamCore(const StreamCore&) = delete;
  StreamCore& operator=(const StreamCore&) = delete;

  void Send(buffer::Buffer& data, bool end);
  void SendTrailers(const HeaderMap& trailers);
  size_t unsent() const { return send_.size(); }
  void DisableReading(bool disable);

 protected:
  StreamCore() = default;
  ~StreamCore() = default;

 private:
  friend class Session;
  friend class H2ServerCodec;
  friend class H2ClientCodec;
  friend class H2ServerStream;
  friend class H2ClientStream;

  // Back to what a new one is, but for the memory that its buffers and maps keep.
  void Renew();

  Session* session_ = nullptr;
  Stream::Handler* handler_ = nullptr;
  StreamCore* next_ = nullptr;
  StreamCore* previous_ = nullptr;
  int32_t id_ = 0;
  uint16_t read_disabled_ = 0;
  uint8_t informational_ = 0;       // 1xx that came
  bool live_ : 1 = false;           // in its session's list
  bool submitted_ : 1 = false;      // nghttp2 knows it
  bool head_received_ : 1 = false;  // what comes now are trailers
  bool head_sent_ : 1 = false;
  bool head_left_ : 1 = false;   // client: the peer may have seen it
  bool handed_out_ : 1 = false;  // its user knows it
  bool too_large_ : 1 = false;
  bool malformed_ : 1 = false;
  bool send_ended_ : 1 = false;  // the user has said the end
  bool end_sent_ : 1 = false;    // and it has left
  bool read_ended_ : 1 = false;  // END_STREAM came
  bool peer_reset_ : 1 = false;  // RST_STREAM came
  bool stop_request_ : 1 = false;
  bool deferred_ : 1 = false;  // nghttp2 waits for resume
  bool above_high_ : 1 = false;
  bool has_trailers_ : 1 = false;
  bool failing_ : 1 = false;  // cannot begin: ends with the next output
  StreamEnd failure_ = StreamEnd::kRefused;
  buffer::Buffer send_;
  buffer::Buffer received_;  // of the DATA frame that is arriving
  size_t unconsumed_ = 0;    // received while reading was disabled
  size_t head_bytes_ = 0;    // of the pseudo fields
  HeaderMap trailers_received_;
  HeaderMap trailers_to_send_;
};

}  // namespace countersign::http::h2

#endif  // COUNTERSIGN_PROXY_HTTP_H2_STREAM_CORE_H_
