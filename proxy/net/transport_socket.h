// What lies between a connection's bytes and its socket: nothing, or TLS.
#ifndef COUNTERSIGN_PROXY_NET_TRANSPORT_SOCKET_H_
#define COUNTERSIGN_PROXY_NET_TRANSPORT_SOCKET_H_

#include <sys/uio.h>

#include <cstddef>
#include <cstdint>

#include "proxy/buffer/buffer.h"
#include "proxy/buffer/close_reason.h"
#include "proxy/net/socket.h"

namespace countersign::net {

enum class IoStatus : uint8_t {
  kAgain,   // the socket is exhausted (read) or full (write)
  kMore,    // read: there may be more at once
  kDone,    // write: all is gone
  kEnd,     // read: the peer finished its direction
  kFailed,  // see `reason`
};

struct IoResult {
  IoStatus status;
  buffer::CloseReason reason = buffer::CloseReason::kNone;
};

// One system call's worth of reading: appends what came to `to`. `*hint` is the number of blocks to
// offer; it grows when they were filled and falls when they were not. `expect_end`: the kernel has
// told that the peer closed, so a short read does not mean that there is nothing left.
IoResult ReadSocket(const Socket& socket, buffer::Buffer& to, uint8_t* hint, bool expect_end);
// Writes until `from` is empty or the socket full.
IoResult WriteSocket(const Socket& socket, buffer::Buffer& from);

// Lives with its connection. No callbacks: the connection asks.
class TransportSocket {
 public:
  virtual ~TransportSocket() = default;

  // Reads from `socket` once and appends plaintext to `to`. A handshake goes on in here.
  virtual IoResult Read(const Socket& socket, buffer::Buffer& to, bool expect_end) = 0;
  // Writes from `from` as far as the socket takes it; with `end`, says farewell once all of it is
  // out. kDone means that the socket's sending half may be shut down.
  virtual IoResult Write(const Socket& socket, buffer::Buffer& from, bool end) = 0;

  // The handshake is over (at once, where there is none).
  virtual bool open() const = 0;
  // There is output of its own (handshake, alerts) for Write to send.
  virtual bool wants_write() const = 0;
  // Bytes taken from Write's buffer and not yet in the socket.
  virtual size_t pending() const = 0;
};

// TCP as it is.
class RawTransportSocket final : public TransportSocket {
 public:
  IoResult Read(const Socket& socket, buffer::Buffer& to, bool expect_end) override {
    return ReadSocket(socket, to, &hint_, expect_end);
  }
  IoResult Write(const Socket& socket, buffer::Buffer& from, bool) override {
    return WriteSocket(socket, from);
  }
  bool open() const override { return true; }
  bool wants_write() const override { return false; }
  size_t pending() const override { return 0; }

 private:
  uint8_t hint_ = 1;
};

}  // namespace countersign::net

#endif  // COUNTERSIGN_PROXY_NET_TRANSPORT_SOCKET_H_
