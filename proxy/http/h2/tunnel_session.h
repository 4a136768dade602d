// An HTTP/2 session that carries CONNECT tunnels (HBONE), on nghttp2. No sockets in here: bytes in,
// callbacks, bytes out.
#ifndef COUNTERSIGN_PROXY_HTTP_H2_TUNNEL_SESSION_H_
#define COUNTERSIGN_PROXY_HTTP_H2_TUNNEL_SESSION_H_

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "proxy/buffer/buffer.h"
#include "proxy/http/h2/ended_streams.h"
#include "proxy/http/h2/frame_budget.h"
#include "proxy/http/h2/receive_windows.h"
#include "proxy/http/h2/tunnel_stream.h"

namespace countersign::http::h2 {

// The header of a refusal's answer that says why.
inline constexpr absl::string_view kReasonHeader = "x-countersign-reason";

// Both roles. DATA leaves by moving slices and arrives as references into the blocks that were
// read: no byte is copied.
class TunnelSession {
 public:
  enum class Role : uint8_t { kClient, kServer };

  class Owner {
   public:
    // There is output: call Produce at the end of the turn.
    virtual void OnSessionOutput() = 0;
    // Server: someone asks for a tunnel to `authority`. To be answered now or later with Accept or
    // Refuse; destroying it resets it.
    virtual void OnTunnelRequest(std::unique_ptr<TunnelStream> stream,
                                 absl::string_view authority) = 0;
    // Client: the peer takes no more streams.
    virtual void OnSessionDraining() = 0;
    // A stream has ended.
    virtual void OnStreamGone() = 0;

   protected:
    ~Owner() = default;
  };

  struct Limits {
    uint32_t max_concurrent_streams = 256;
    uint32_t stream_window = 1 << 20;
    uint32_t connection_window = 16 << 20;
    uint32_t max_frame = 64 * 1024;
    uint32_t max_header_bytes = 8 * 1024;
  };

  TunnelSession(Role role, Owner& owner, const Limits& limits);
  TunnelSession(const TunnelSession&) = delete;
  TunnelSession& operator=(const TunnelSession&) = delete;
  // Streams that are left are closed as lost, if that was not done before.
  ~TunnelSession();

  // Client: asks for a tunnel to `authority`; bytes may be written at once, they travel with the
  // request. Null when the session takes no more.
  std::unique_ptr<TunnelStream> Open(absl::string_view authority);

  // Takes what the peer sent. False: the session is broken; error() says by what.
  bool Receive(buffer::Buffer& data, FrameBudget::Instant now);
  // Appends pending output to `out` until `out` holds `limit` bytes. False: the session is over.
  bool Produce(buffer::Buffer& out, size_t limit);
  bool wants_write() const;

  // The connection is gone: every stream closes with `reason`.
  void CloseStreams(buffer::CloseReason reason);
  // Tells the peer to open no new streams; those on their way are still served.
  void StartDrain();
  // Ends the session, with streams and all, after what is written.
  void Terminate(uint32_t error_code);

  bool draining() const { return draining_; }
  bool settings_acknowledged() const { return settings_acknowledged_; }
  uint32_t active_streams() const { return active_; }
  // Client: how many streams the peer allows.
  uint32_t peer_max_streams() const;
  const std::string& error() const { return error_; }

 private:
  friend class TunnelStream;
  struct Callbacks;

  void Link(TunnelStream* stream);
  void Unlink(TunnelStream* stream);
  TunnelStream* Find(int32_t id) const;
  bool TakeBudget(FrameClass frame_class);
  void Release(TunnelStream& stream);
  void NeedOutput() { owner_.OnSessionOutput(); }
  void Answer(TunnelStream& stream);
  void OnEnd(TunnelStream& stream);
  void OnHeadersDone(TunnelStream& stream, bool end);

  const Role role_;
  Owner& owner_;
  const Limits limits_;
  nghttp2_session* session_ = nullptr;
  TunnelStream* streams_ = nullptr;
  buffer::Buffer* out_ = nullptr;  // while producing
  size_t out_limit_ = 0;
  buffer::Slice* in_ = nullptr;  // while receiving
  FrameBudget::Instant now_{};
  FrameBudget budget_;
  ReceiveWindows windows_;
  EndedStreams ended_by_peer_;  // server
  uint32_t active_ = 0;
  bool draining_ = false;
  bool settings_acknowledged_ = false;
  bool over_budget_ = false;
  std::string error_;
};

}  // namespace countersign::http::h2

#endif  // COUNTERSIGN_PROXY_HTTP_H2_TUNNEL_SESSION_H_
