// A listening socket on an event loop.
#ifndef COUNTERSIGN_PROXY_LISTENER_ACCEPT_SOCKET_H_
#define COUNTERSIGN_PROXY_LISTENER_ACCEPT_SOCKET_H_

#include <cstdint>

#include "absl/status/status.h"
#include "api/net/address.h"
#include "proxy/event/dispatcher.h"
#include "proxy/net/socket.h"

namespace countersign::listener {

// Accepts in batches. Out of descriptors, it refuses the newest connection and rests a moment
// instead of spinning. Lives on its worker's thread.
class AcceptSocket final : private event::FileEvent::Handler {
 public:
  class Handler {
   public:
    virtual void OnAccept(AcceptSocket& listener, net::Socket socket, const net::Address& peer) = 0;
    // A connection was refused because the process is out of descriptors or memory.
    virtual void OnAcceptFailed(AcceptSocket& listener, int error) = 0;

   protected:
    ~Handler() = default;
  };

  AcceptSocket(event::Dispatcher& dispatcher, net::Socket socket, const net::Address& address,
               Handler& handler);

  // The bound address; its port is the kernel's choice where port 0 was asked for.
  const net::Address& address() const { return address_; }

 private:
  static constexpr int kBatch = 64;

  void OnFileEvent(uint32_t events) override;
  void Refuse(int error);

  net::Socket socket_;
  const net::Address address_;
  Handler& handler_;
  // Given up to accept, and so refuse, one connection when there is no other descriptor.
  net::Socket spare_;
  event::Timer resume_;
  event::FileEvent event_;
};

}  // namespace countersign::listener

#endif  // COUNTERSIGN_PROXY_LISTENER_ACCEPT_SOCKET_H_
