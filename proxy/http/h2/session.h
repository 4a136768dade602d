// An HTTP/2 connection's session in either role, on nghttp2: what the server's codec and the
// client's have in common.
#ifndef COUNTERSIGN_PROXY_HTTP_H2_SESSION_H_
#define COUNTERSIGN_PROXY_HTTP_H2_SESSION_H_

#include <nghttp2/nghttp2.h>

#include <cstdint>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "proxy/buffer/buffer.h"
#include "proxy/http/codec.h"
#include "proxy/http/h2/ended_streams.h"
#include "proxy/http/h2/frame_budget.h"
#include "proxy/http/h2/receive_windows.h"
#include "proxy/http/h2/stream_core.h"

namespace countersign::http::h2 {

// DATA leaves by moving slices and arrives as references into the blocks that were read: no byte is
// copied. A DATA frame's bytes are handed on when the frame is complete or the read is used up, and
// those of a frame with END_STREAM only when nghttp2 has found the message's length right.
//
// In steady state a request allocates nothing: streams come from a pool, nghttp2's objects from
// MemoryPool.
class Session {
 public:
  enum class Role : uint8_t { kClient, kServer };
  static constexpr size_t kMaxForgiven = 512;

  // RFC 8441 has no way to say that an upgrade was not accepted and yet all is well, since there
  // any 2xx accepts. HTTP/1 has: an answer with another status than 101. Between our own ends this
  // field says it: in the request, that the client understands; in the answer, that it is so.
  static constexpr absl::string_view kUpgradeField = "x-countersign-upgrade";
  static constexpr absl::string_view kDeclined = "declined";

  Session(const Session&) = delete;
  Session& operator=(const Session&) = delete;

  // As Codec says.
  void Receive(buffer::Buffer& data, bool end, Instant now);
  bool Produce(buffer::Buffer& out, size_t limit);
  bool wants_write() const;
  // Ends every stream.
  void CloseStreams();
  bool draining() const { return draining_; }
  uint32_t active_streams() const { return active_; }
  Instant head_since() const { return head_since_; }
  const std::string& error() const { return error_; }

 protected:
  Session(Role role, Codec::Owner& owner, const CodecLimits& limits);
  // The derived class ends the streams first.
  ~Session();

  // Of the role. A message's head or trailers: a field, and their end.
  virtual StreamCore* NewIncoming() = 0;
  // False: the field makes the message malformed.
  virtual bool AddPseudo(StreamCore& stream, absl::string_view name, absl::string_view value) = 0;
  virtual HeaderMap& ReceivedHeaders(StreamCore& stream) = 0;
  virtual void OnHead(StreamCore& stream, bool end) = 0;
  // A stream that its user never saw has ended.
  virtual void OnNeverBegun(StreamCore& stream) = 0;
  virtual void OnSettings() {}
  virtual void OnGoaway() {}
  // Gives it to the pool.
  virtual void Recycle(StreamCore* stream) = 0;

  void Link(StreamCore& stream);
  // The session forgets it, and soon recycles it; it is not to be touched once the callback that is
  // running is over.
  void Release(StreamCore& stream);
  // Ends it, with OnEnd if the user knows it.
  void End(StreamCore& stream, StreamEnd end);
  // The stream cannot begin: it ends with the next output.
  void Fail(StreamCore& stream, StreamEnd end);
  void SubmitReset(StreamCore& stream, uint32_t code);
  // Acknowledges what came while reading was disabled.
  void ReleaseWindow(StreamCore& stream);
  void StartGracefulGoaway();
  void NeedOutput();

  // Puts fields together for nghttp2.
  void BeginFields() { fields_.clear(); }
  void AddField(absl::string_view name, absl::string_view value);
  void AddFields(const HeaderMap& headers);
  void SubmitRequest(StreamCore& stream, bool end);
  void SubmitResponse(StreamCore& stream, bool end);
  void SubmitInformational(StreamCore& stream);
  // A whole response of the codec's own; `body` lives for ever. The stream is released.
  void AnswerAndRelease(StreamCore& stream, absl::string_view status, absl::string_view reason,
                        absl::string_view body);

  bool TakeBudget(FrameClass frame_class);
  uint32_t RemoteSetting(nghttp2_settings_id id) const;
  StreamCore* streams() const { return streams_; }
  bool settings_received() const { return settings_received_; }
  Instant now() const { return now_; }

  Codec::Owner& owner_;
  const CodecLimits limits_;
  nghttp2_session* session_ = nullptr;
  bool draining_ = false;
  std::string error_;

 private:
  friend class StreamCore;
  struct Callbacks;
  // While one lives, released streams wait: somebody up the stack may still look at them.
  class Entry;

  StreamCore* Find(int32_t id) const;
  bool AddReceivedField(StreamCore& stream, absl::string_view name, absl::string_view value);
  void Deliver(StreamCore& stream, bool end);
  void DeliverTrailers(StreamCore& stream);
  void SubmitTrailers(StreamCore& stream);
  void OnFrame(const nghttp2_frame& frame);
  void OnFrameSent(const nghttp2_frame& frame);
  void OnClosed(StreamCore& stream, uint32_t error_code);
  void Sweep();
  void BeCalm();
  // Server: HEADERS of stream `id` begin. False: the peer must know better. nghttp2 passes over
  // what comes on a stream that it does not know any more.
  bool MayBegin(int32_t id);
  bool Break(uint32_t code, const char* sentence);

  const Role role_;
  StreamCore* streams_ = nullptr;
  StreamCore* released_ = nullptr;
  StreamCore* heading_ = nullptr;   // whose fields are arriving
  StreamCore* arriving_ = nullptr;  // whose DATA frame is arriving
  buffer::Buffer* out_ = nullptr;   // while producing
  size_t out_limit_ = 0;
  buffer::Slice* in_ = nullptr;  // while receiving
  Instant now_{};
  Instant head_since_ = Instant::max();
  FrameBudget budget_;
  EndedStreams ended_by_peer_;  // server
  // Those that we reset, the last kMaxForgiven: frames may still be on their way.
  std::vector<int32_t> reset_by_us_;
  uint32_t reset_count_ = 0;
  int32_t highest_id_ = 0;
  uint32_t break_code_ = NGHTTP2_PROTOCOL_ERROR;
  std::vector<nghttp2_nv> fields_;
  ReceiveWindows windows_;
  uint32_t active_ = 0;
  uint32_t failing_ = 0;
  uint32_t heads_sent_ = 0;
  int entries_ = 0;
  bool started_ = false;
  bool settings_received_ = false;
  bool output_told_ = false;
  bool over_budget_ = false;
  bool peer_finished_ = false;
  bool shutdown_pinged_ = false;
};

}  // namespace countersign::http::h2

#endif  // COUNTERSIGN_PROXY_HTTP_H2_SESSION_H_
