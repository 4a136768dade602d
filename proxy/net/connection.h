// A TCP connection on an event loop, plain or under TLS.
#ifndef COUNTERSIGN_PROXY_NET_CONNECTION_H_
#define COUNTERSIGN_PROXY_NET_CONNECTION_H_

#include <cstdint>
#include <memory>
#include <optional>

#include "proxy/buffer/byte_stream.h"
#include "proxy/event/dispatcher.h"
#include "proxy/net/socket.h"
#include "proxy/net/transport_socket.h"

namespace countersign::net {

// Reads when the socket has something and nobody disabled reading; writes once at the end of the
// loop's turn. Lives on its worker's thread and belongs to whoever made it.
class Connection final : public buffer::ByteStream,
                         public event::Deferred,
                         private event::FileEvent::Handler {
 public:
  enum class State : uint8_t { kConnecting, kConnected };

  Connection(event::Dispatcher& dispatcher, Socket socket,
             std::unique_ptr<TransportSocket> transport, State state);
  ~Connection() override;

  void Write(buffer::Buffer& data, bool end) override;
  size_t unsent() const override { return write_.size() + transport_->pending(); }
  void ReadDisable(bool disable) override;
  void Reset() override;
  // Ends it without RST and without a callback, dropping what was not sent.
  void Close();

  // Replaces the transport before the handshake, for protocols that are known only after the first
  // bytes. `seen`: bytes read so far, which the new transport reads first.
  void SetTransport(std::unique_ptr<TransportSocket> transport);

  bool open() const { return open_; }
  bool closed() const { return !socket_.valid(); }
  bool connecting() const { return connecting_; }
  const Socket& socket() const { return socket_; }
  TransportSocket& transport() { return *transport_; }
  event::Dispatcher& dispatcher() { return dispatcher_; }

  // Of the plaintext, since the beginning.
  uint64_t bytes_read() const { return bytes_read_; }
  uint64_t bytes_written() const { return bytes_written_; }

 private:
  void OnFileEvent(uint32_t events) override;
  void ReadSome();
  void Flush();
  void CheckOpen();
  void ScheduleFlush() { dispatcher_.FlushAtTurnEnd(flush_); }
  void Fail(buffer::CloseReason reason);
  void MaybeFinish();
  void Release();

  event::Dispatcher& dispatcher_;
  Socket socket_;
  std::unique_ptr<TransportSocket> transport_;
  std::optional<event::FileEvent> event_;
  event::Task flush_;
  event::Task resume_;
  buffer::Buffer write_;
  uint64_t bytes_read_ = 0;
  uint64_t bytes_written_ = 0;
  uint16_t read_disabled_ = 0;
  bool connecting_ : 1;
  bool open_ : 1 = false;
  bool readable_ : 1 = false;     // an edge came whose bytes were not all read
  bool peer_closed_ : 1 = false;  // the kernel announced the peer's end
  bool blocked_ : 1 = false;      // the socket is full
  bool above_high_ : 1 = false;
  bool read_ended_ : 1 = false;
  bool end_pending_ : 1 = false;
  bool write_shut_ : 1 = false;
};

}  // namespace countersign::net

#endif  // COUNTERSIGN_PROXY_NET_CONNECTION_H_
