// The seam between a connection's bytes and HTTP's messages. Two protocols implement it, HTTP/1
// (h1/) and HTTP/2 (h2/); no sockets in here: bytes in, callbacks, bytes out.
#ifndef COUNTERSIGN_PROXY_HTTP_CODEC_H_
#define COUNTERSIGN_PROXY_HTTP_CODEC_H_

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "proxy/buffer/buffer.h"
#include "proxy/http/message.h"

namespace countersign::http {

using Instant = std::chrono::steady_clock::time_point;

// How a stream ended.
enum class StreamEnd : uint8_t {
  kFinished,   // both directions came to their end
  kPeerReset,  // RST_STREAM, or an HTTP/1 connection that was closed in mid-message
  kRefused,    // the peer says that it has not begun with it (REFUSED_STREAM, beyond GOAWAY), or it
               // never left the codec: safe to repeat
  kConnectionLost,  // the connection ended under it
  kProtocolError,   // the peer broke the rules; the codec's error() says how
  kLimit,           // a limit of ours (header bytes, fields)
};

// One request with its response. Belongs to its codec, which ends it with exactly one OnEnd, unless
// Reset was called before; after either the stream must not be touched. OnEnd comes once both
// directions are over, or when it broke.
class Stream {
 public:
  // Of whoever uses the stream. May call anything on it, and destroy itself, in any callback.
  class Handler {
   public:
    // Bytes of the body, to be moved out whole; `end`: it is complete, without trailers.
    virtual void OnData(buffer::Buffer& data, bool end) = 0;
    // The body's end, with trailers. Fields that must not be in trailers (RFC 9110, section 6.5.1)
    // were dropped.
    virtual void OnTrailers(HeaderMap& trailers) = 0;
    // unsent() has fallen to buffer::kLowWatermark after it was above kHighWatermark.
    virtual void OnWritable() = 0;
    virtual void OnEnd(StreamEnd end) = 0;

   protected:
    ~Handler() = default;
  };

  // Takes all of `data`. `end`: the message is complete.
  virtual void SendData(buffer::Buffer& data, bool end) = 0;
  virtual void SendTrailers(const HeaderMap& trailers) = 0;
  // Bytes that were sent and have not left the codec. A writer looks at it after SendData and stops
  // its source above buffer::kHighWatermark.
  virtual size_t unsent() const = 0;
  // Counted. While disabled, at most buffer::kHighWatermark or one window more arrives.
  virtual void ReadDisable(bool disable) = 0;

 protected:
  ~Stream() = default;
};

class ServerStream : public Stream {
 public:
  // The request's head. Lives as long as the stream, and the handler may change it.
  virtual RequestHead& request() = 0;
  // True if the request has no body and no trailers.
  virtual bool request_complete() const = 0;
  virtual void SetHandler(Handler* handler) = 0;

  // 1xx other than 101.
  virtual void SendInformational(const ResponseHead& head) = 0;
  // Adds nothing but what the protocol needs (`date` excepted, when the head has none and is a
  // local answer: that is the caller's to add). `end`: no body.
  virtual void SendHeaders(const ResponseHead& head, bool end) = 0;
  // Breaks it off: RST_STREAM (INTERNAL_ERROR, or CANCEL after the response's head), or the end of
  // an HTTP/1 connection.
  virtual void Reset() = 0;
  // After a complete response, while the request still arrives: the rest is not wanted (RST_STREAM
  // NO_ERROR, or `connection: close`). OnEnd follows.
  virtual void StopRequest() = 0;

 protected:
  ~ServerStream() = default;
};

class ClientStream : public Stream {
 public:
  class Handler : public Stream::Handler {
   public:
    // 1xx other than 101. `head` belongs to the codec and lives for the call.
    virtual void OnInformational(ResponseHead& head) = 0;
    // `head` lives as long as the stream, and may be changed. `end`: no body.
    virtual void OnHeaders(ResponseHead& head, bool end) = 0;

   protected:
    ~Handler() = default;
  };

  // Once, first.
  virtual void SendHeaders(const RequestHead& head, bool end) = 0;
  // RST_STREAM CANCEL, or the end of an HTTP/1 connection.
  virtual void Reset() = 0;

 protected:
  ~ClientStream() = default;
};

struct CodecLimits {
  // What a sidecar adds to a head that was within the limits where it came from: a request's id,
  // trace context, what the protocol itself says in fields.
  void AllowForSidecar() {
    max_header_bytes += 4 * 1024;
    max_headers += 16;
  }

  uint32_t max_header_bytes =
      60 * 1024;               // as HeaderMap::byte_size counts, of one message; 431 beyond it
  uint32_t max_headers = 100;  // fields of one message, cookies included
  uint32_t max_request_line = 16 * 1024;  // HTTP/1: 414 beyond it
  // HTTP/2
  uint32_t max_concurrent_streams = 256;
  uint32_t stream_window = 256 * 1024;
  uint32_t connection_window = 4 << 20;
  uint32_t max_frame = 64 * 1024;
};

// How a connection ends on which nothing more will be sent.
enum class Ending : uint8_t {
  kClose,   // it is of no more use
  kFinish,  // its sending half finishes, and all that was written is to arrive: a tunnel's end.
            // While active_streams() > 0 the other half goes on, and calls of Produce with it
  kReset,   // it is to be reset, whatever was written: an end would be taken for a whole message's
};

// What server and client codecs have in common. Lives on its worker's thread, belongs to whoever
// owns the connection.
class Codec {
 public:
  virtual ~Codec() = default;

  // Takes all that came; with `end`, the peer's FIN. Callbacks come from in here and from Produce,
  // never from what is called on a stream; a codec must not be destroyed in one. HTTP/1 keeps
  // pipelined requests until the one before is answered, goes on by itself, and asks for
  // OnCodecReadDisable while it has more than it can use. When the peer breaks the rules, error()
  // says by what, OnCodecOutput follows, and Produce gives what is left to say (an answer 400,
  // GOAWAY) and then false.
  virtual void Receive(buffer::Buffer& data, bool end, Instant now) = 0;
  // Appends pending output until `out` holds about `limit` bytes. False: nothing will follow;
  // ending() says what is to become of the connection once `out` is gone.
  virtual bool Produce(buffer::Buffer& out, size_t limit) = 0;
  // HTTP/1 alone has more than one, since there the connection's ends are a tunnel's.
  virtual Ending ending() const { return Ending::kClose; }
  virtual bool wants_write() const = 0;
  // The connection's own write buffer has drained below its low watermark.
  virtual void OnConnectionWritable() = 0;
  // The connection is gone: ends every stream.
  virtual void OnConnectionClosed() = 0;
  // GOAWAY, or `connection: close` with the next response (server); no new streams (client).
  virtual void StartDrain() = 0;
  virtual bool draining() const = 0;
  virtual Protocol protocol() const = 0;
  virtual uint32_t active_streams() const = 0;
  // Since when a message's head has been arriving without being complete; Instant::max() when none
  // is: for time-outs.
  virtual Instant head_since() const = 0;
  // In words; empty while nothing is wrong.
  virtual const std::string& error() const = 0;

  // Common part of both owners.
  class Owner {
   public:
    // There is output: call Produce at the end of the turn.
    virtual void OnCodecOutput() = 0;
    // Uncounted: the codec wants no more bytes, or wants them again.
    virtual void OnCodecReadDisable(bool disable) = 0;
    // A stream has ended; active_streams() has changed.
    virtual void OnStreamGone() = 0;

   protected:
    ~Owner() = default;
  };
};

class ServerCodec : public Codec {
 public:
  class Owner : public Codec::Owner {
   public:
    // A request's head is complete and well-formed; SetHandler before this returns.
    virtual void OnRequest(ServerStream& stream) = 0;
    // A message that never became a request was answered with `status` (HTTP/1: the codec has
    // written the answer; 0: HTTP/2, a stream or the connection was reset). `sentence`: why, for
    // the log.
    virtual void OnBadRequest(uint16_t status, absl::string_view sentence) = 0;

   protected:
    ~Owner() = default;
  };
};

class ClientCodec : public Codec {
 public:
  class Owner : public Codec::Owner {
   public:
    // The peer takes no more streams (GOAWAY, `connection: close`).
    virtual void OnPeerDraining() = 0;

   protected:
    ~Owner() = default;
  };

  // Null when no more can be taken now. SendHeaders must follow.
  virtual ClientStream* NewStream(ClientStream::Handler& handler) = 0;
  // How many may run at once: for HTTP/1 1, and 0 once the connection is to close; the peer's
  // SETTINGS (100 until they came), bounded by ours.
  virtual uint32_t max_streams() const = 0;
};

}  // namespace countersign::http

#endif  // COUNTERSIGN_PROXY_HTTP_CODEC_H_
