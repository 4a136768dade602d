// One tunnelled connection: an HTTP/2 CONNECT stream (RFC 9113, section 8.5).
#ifndef COUNTERSIGN_PROXY_HTTP_H2_TUNNEL_STREAM_H_
#define COUNTERSIGN_PROXY_HTTP_H2_TUNNEL_STREAM_H_

#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "proxy/buffer/byte_stream.h"

namespace countersign::http::h2 {

class TunnelSession;

// Belongs to whoever opened or accepted it, and may outlive its session. Half-close is END_STREAM,
// a reset is RST_STREAM, both ways.
class TunnelStream final : public buffer::ByteStream {
 public:
  ~TunnelStream() override;

  void Write(buffer::Buffer& data, bool end) override;
  size_t unsent() const override { return send_.size(); }
  void ReadDisable(bool disable) override;
  void Reset() override;

  // Server: answers the request. Accept opens the tunnel; Refuse ends the stream, with `reason` for
  // the caller's log.
  void Accept();
  void Refuse(int status, absl::string_view reason);

  // Client, after OnClosed(kTunnelRefused): the answer, and the reason that came with it.
  int status() const { return status_; }
  const std::string& refusal() const { return refusal_; }

  uint64_t bytes_read() const { return bytes_read_; }
  uint64_t bytes_written() const { return bytes_written_; }
  TunnelSession* session() const { return session_; }

 private:
  friend class TunnelSession;
  explicit TunnelStream(TunnelSession& session);
  // The session forgets it, and it the session.
  void Detach();
  void Closed(buffer::CloseReason reason);

  TunnelSession* session_;
  TunnelStream* next_ = nullptr;
  TunnelStream* previous_ = nullptr;
  int32_t id_ = 0;
  int16_t status_ = 0;
  uint16_t header_bytes_ = 0;
  uint16_t read_disabled_ = 0;
  bool end_pending_ : 1 = false;
  bool deferred_ : 1 = false;  // nghttp2 waits for resume
  bool above_high_ : 1 = false;
  bool read_ended_ : 1 = false;
  bool answered_ : 1 = false;
  bool owned_ : 1 = false;  // handed out; until then the session's
  buffer::Buffer send_;
  size_t unconsumed_ = 0;  // received while reading was disabled
  uint64_t bytes_read_ = 0;
  uint64_t bytes_written_ = 0;
  std::string refusal_;
  std::string authority_;
};

}  // namespace countersign::http::h2

#endif  // COUNTERSIGN_PROXY_HTTP_H2_TUNNEL_STREAM_H_
