// The streams that the peer has ended itself, on which it may send no more.
#ifndef COUNTERSIGN_PROXY_HTTP_H2_ENDED_STREAMS_H_
#define COUNTERSIGN_PROXY_HTTP_H2_ENDED_STREAMS_H_

#include <array>
#include <cstddef>
#include <cstdint>

namespace countersign::http::h2 {

// One a server's session. Of DATA on a stream that nghttp2 does not know any more, its user hears
// nothing, not even that there was some. So the heads of the frames are read here too, on their way
// to it: nine bytes a frame, nothing of what is in it.
//
// RFC 9113, section 5.1: after END_STREAM or RST_STREAM of the peer's own, DATA and HEADERS are a
// fault of the peer's (STREAM_CLOSED). On a stream that we reset they may have been on their way,
// and are to be passed over.
class EndedStreams {
 public:
  // What comes before the first frame: the client's preface.
  explicit EndedStreams(size_t preface) : skip_(preface) {}

  // `bytes` follow those of the call before. How many of them come before (the rest of) the head of
  // a frame that is such a fault; `n` when there is none. After a fault there is no further call.
  size_t Follow(const uint8_t* bytes, size_t n);
  // We have reset it.
  void Forgive(uint32_t stream) { streams_[Slot(stream)] = stream | kForgiven; }

 private:
  static constexpr size_t kHead = 9;
  // The latest streams by number, which end at about the same time. A peer that comes back to an
  // older one is passed over.
  static constexpr size_t kRemembered = 64;
  // Beside the number, whose topmost bit is reserved.
  static constexpr uint32_t kForgiven = 1u << 31;

  // A peer's streams have every second number.
  static size_t Slot(uint32_t stream) { return (stream >> 1) % kRemembered; }
  // False: it is a fault.
  bool Judge(const uint8_t* head);

  size_t skip_;  // up to the next frame's head
  uint8_t begun_ = 0;
  uint8_t head_[kHead];  // `begun_` bytes of one that is not complete
  std::array<uint32_t, kRemembered> streams_{};
};

}  // namespace countersign::http::h2

#endif  // COUNTERSIGN_PROXY_HTTP_H2_ENDED_STREAMS_H_
