// File descriptors of sockets and the options that a sidecar sets on them.
#ifndef COUNTERSIGN_PROXY_NET_SOCKET_H_
#define COUNTERSIGN_PROXY_NET_SOCKET_H_

#include <utility>

#include "absl/status/statusor.h"
#include "api/net/address.h"
#include "proxy/buffer/close_reason.h"

namespace countersign::net {

// Owns a descriptor. Non-blocking and close-on-exec, always.
class Socket {
 public:
  Socket() = default;
  explicit Socket(int fd) : fd_(fd) {}
  Socket(Socket&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Socket& operator=(Socket&& other) noexcept {
    std::swap(fd_, other.fd_);
    return *this;
  }
  ~Socket() { Close(); }

  int fd() const { return fd_; }
  bool valid() const { return fd_ >= 0; }
  void Close();
  // Closes so that the peer sees RST and not FIN.
  void CloseWithReset();

  // Bound with SO_REUSEPORT and listening. Errors name the address and say what to do.
  static absl::StatusOr<Socket> Listen(const Address& address);
  // A connection under way; completion shows as writability. On failure invalid, with errno in
  // `*error`. `host_local`: see SetHostLocal; loopback addresses are in any case.
  static Socket Connect(const Address& address, int* error, bool host_local = false);
  // The next connection of a listening socket; invalid with errno in `*error` when there is none.
  Socket Accept(Address* peer, int* error) const;

  // For connections. No delay: the proxy batches by itself.
  void SetNoDelay() const;
  // Finds dead peers: probes after 3 minutes of silence, and gives up on unacknowledged bytes after
  // 2 minutes (RFC 5482). A peer that is merely idle is left alone.
  void SetKeepAlive() const;

  // For connections that stay on this machine, and listeners of such: no pacing. Where the system's
  // congestion control is BBR it would hold back bursts and run a timer for each, though there is
  // no network.
  void SetHostLocal() const;

  // Where the client wanted to go before netfilter turned it to us; NotFound when it was not
  // turned.
  absl::StatusOr<Address> OriginalDestination() const;
  absl::StatusOr<Address> LocalAddress() const;
  absl::StatusOr<Address> PeerAddress() const;
  // SO_ERROR: 0 while all is well.
  int TakeError() const;

 private:
  int fd_ = -1;
};

// Why a connection did not come about, by errno: of Socket::Connect, or TakeError later.
buffer::CloseReason ConnectFailure(int error);

}  // namespace countersign::net

#endif  // COUNTERSIGN_PROXY_NET_SOCKET_H_
