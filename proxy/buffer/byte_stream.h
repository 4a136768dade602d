// One end of a pipe of bytes in both directions: a TCP connection, a TLS connection, or a stream
// inside a tunnel. What splices two of them need not know which.
#ifndef COUNTERSIGN_PROXY_BUFFER_BYTE_STREAM_H_
#define COUNTERSIGN_PROXY_BUFFER_BYTE_STREAM_H_

#include <cstddef>

#include "proxy/buffer/buffer.h"
#include "proxy/buffer/close_reason.h"

namespace countersign::buffer {

// A writer looks at unsent() after each Write and stops its source above the high watermark;
// OnWritable comes when unsent() has fallen to the low one. The bound of memory for a direction is
// the high watermark plus what the source may send before it notices (one read, or one window).
inline constexpr size_t kHighWatermark = 256 * 1024;
inline constexpr size_t kLowWatermark = 64 * 1024;

// Belongs to its worker's thread. Destroying an open one resets it.
class ByteStream {
 public:
  class Handler {
   public:
    // The far side is there, and its identity proved where that was asked for. Comes at most once;
    // bytes may be written before.
    virtual void OnOpen(ByteStream&) {}
    // Bytes came, to be moved out of `data` whole; `end`: none will follow. May come while reading
    // is disabled, within the bound above.
    virtual void OnData(ByteStream& stream, Buffer& data, bool end) = 0;
    virtual void OnWritable(ByteStream& stream) = 0;
    // The end of it: both directions finished, or it broke. Nothing comes after it. The stream may
    // not be destroyed in here, but through DeferredDelete.
    virtual void OnClosed(ByteStream& stream, CloseReason reason) = 0;

   protected:
    ~Handler() = default;
  };

  virtual ~ByteStream() = default;
  void SetHandler(Handler* handler) { handler_ = handler; }

  // Takes all of `data`; `end` finishes this direction, after which nothing may be written.
  virtual void Write(Buffer& data, bool end) = 0;
  // Bytes written and not yet gone.
  virtual size_t unsent() const = 0;
  // Counted: each true needs a false.
  virtual void ReadDisable(bool disable) = 0;
  // Breaks it off at once; the far side sees a reset. No callback follows.
  virtual void Reset() = 0;

 protected:
  Handler* handler_ = nullptr;
};

}  // namespace countersign::buffer

#endif  // COUNTERSIGN_PROXY_BUFFER_BYTE_STREAM_H_
