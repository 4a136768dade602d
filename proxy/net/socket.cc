#include "proxy/net/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstring>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"

namespace countersign::net {
namespace {

// linux/netfilter_ipv4.h and linux/netfilter_ipv6/ip6_tables.h, which do not go together with
// netinet/in.h.
constexpr int kSoOriginalDst = 80;
constexpr int kIp6tSoOriginalDst = 80;
constexpr int kBacklog = 4096;

void SetInt(int fd, int level, int option, int value) {
  // Options are improvements, and a socket whose peer has gone refuses some: not worth an error.
  (void)setsockopt(fd, level, option, &value, sizeof value);
}

}  // namespace

void Socket::Close() {
  if (fd_ >= 0) close(std::exchange(fd_, -1));
}

void Socket::CloseWithReset() {
  if (fd_ < 0) return;
  const linger abort{1, 0};
  (void)setsockopt(fd_, SOL_SOCKET, SO_LINGER, &abort, sizeof abort);
  Close();
}

absl::StatusOr<Socket> Socket::Listen(const Address& address) {
  const auto error = [&address](const char* what) {
    const int number = errno;
    const char* hint = number == EADDRINUSE ? "; another program has that port: find it with `ss "
                                              "-ltnp`, or choose another port"
                       : number == EACCES   ? "; ports below 1024 need CAP_NET_BIND_SERVICE"
                       : number == EADDRNOTAVAIL
                           ? "; no interface has that address (or IPv6 is off)"
                           : "";
    return absl::UnavailableError(
        absl::StrCat("cannot ", what, " ", address.ToString(), ": ", std::strerror(number), hint));
  };
  Socket socket(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.valid()) return error("make a socket for");
  SetInt(socket.fd(), SOL_SOCKET, SO_REUSEADDR, 1);
  SetInt(socket.fd(), SOL_SOCKET, SO_REUSEPORT, 1);
  // Inherited by the connections, which spares them the calls.
  socket.SetNoDelay();
  socket.SetKeepAlive();
  // [::] must not take IPv4's port as well: each family has a listener of its own.
  if (address.family() == AF_INET6) SetInt(socket.fd(), IPPROTO_IPV6, IPV6_V6ONLY, 1);
  sockaddr_storage storage;
  const socklen_t length = address.ToSockaddr(&storage);
  if (bind(socket.fd(), reinterpret_cast<sockaddr*>(&storage), length) != 0) {
    return error("listen on");
  }
  if (listen(socket.fd(), kBacklog) != 0) return error("listen on");
  return socket;
}

Socket Socket::Connect(const Address& address, int* error, bool host_local) {
  *error = 0;
  Socket socket(::socket(address.family(), SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!socket.valid()) {
    *error = errno;
    return socket;
  }
  socket.SetNoDelay();
  if (host_local || address.ip().IsLoopback()) socket.SetHostLocal();
  sockaddr_storage storage;
  const socklen_t length = address.ToSockaddr(&storage);
  if (connect(socket.fd(), reinterpret_cast<sockaddr*>(&storage), length) != 0 &&
      errno != EINPROGRESS) {
    *error = errno;
    socket.Close();
  }
  return socket;
}

Socket Socket::Accept(Address* peer, int* error) const {
  sockaddr_storage storage;
  socklen_t length = sizeof storage;
  Socket socket(
      accept4(fd_, reinterpret_cast<sockaddr*>(&storage), &length, SOCK_NONBLOCK | SOCK_CLOEXEC));
  *error = socket.valid() ? 0 : errno;
  if (socket.valid()) {
    const absl::StatusOr<Address> address =
        Address::FromSockaddr(reinterpret_cast<sockaddr*>(&storage), length);
    *peer = address.ok() ? *address : Address();
  }
  return socket;
}

void Socket::SetNoDelay() const { SetInt(fd_, IPPROTO_TCP, TCP_NODELAY, 1); }

void Socket::SetKeepAlive() const {
  SetInt(fd_, SOL_SOCKET, SO_KEEPALIVE, 1);
  SetInt(fd_, IPPROTO_TCP, TCP_KEEPIDLE, 180);
  SetInt(fd_, IPPROTO_TCP, TCP_KEEPINTVL, 20);
  SetInt(fd_, IPPROTO_TCP, TCP_KEEPCNT, 6);
  SetInt(fd_, IPPROTO_TCP, TCP_USER_TIMEOUT, 120'000);
}

void Socket::SetHostLocal() const {
  // The one that every kernel has and lets anybody choose (tcp(7), tcp_allowed_congestion_control).
  constexpr char kReno[] = "reno";
  (void)setsockopt(fd_, IPPROTO_TCP, TCP_CONGESTION, kReno, sizeof kReno - 1);
}

absl::StatusOr<Address> Socket::OriginalDestination() const {
  sockaddr_storage storage;
  socklen_t length = sizeof storage;
  if (getsockopt(fd_, SOL_IP, kSoOriginalDst, &storage, &length) == 0) {
    return Address::FromSockaddr(reinterpret_cast<sockaddr*>(&storage), length);
  }
  length = sizeof storage;
  if (getsockopt(fd_, SOL_IPV6, kIp6tSoOriginalDst, &storage, &length) == 0) {
    return Address::FromSockaddr(reinterpret_cast<sockaddr*>(&storage), length);
  }
  return absl::NotFoundError("the connection was not redirected by netfilter");
}

absl::StatusOr<Address> Socket::LocalAddress() const {
  sockaddr_storage storage;
  socklen_t length = sizeof storage;
  if (getsockname(fd_, reinterpret_cast<sockaddr*>(&storage), &length) != 0) {
    return absl::UnavailableError(std::strerror(errno));
  }
  return Address::FromSockaddr(reinterpret_cast<sockaddr*>(&storage), length);
}

absl::StatusOr<Address> Socket::PeerAddress() const {
  sockaddr_storage storage;
  socklen_t length = sizeof storage;
  if (getpeername(fd_, reinterpret_cast<sockaddr*>(&storage), &length) != 0) {
    return absl::UnavailableError(std::strerror(errno));
  }
  return Address::FromSockaddr(reinterpret_cast<sockaddr*>(&storage), length);
}

buffer::CloseReason ConnectFailure(int error) {
  switch (error) {
    case EMFILE:
    case ENFILE:
    case EADDRNOTAVAIL:
      return buffer::CloseReason::kNoResources;
    case ECONNREFUSED:
    case ECONNRESET:
      return buffer::CloseReason::kConnectRefused;
    case ETIMEDOUT:
      return buffer::CloseReason::kConnectTimeout;
    default:
      return buffer::CloseReason::kUnreachable;
  }
}

int Socket::TakeError() const {
  int error = 0;
  socklen_t length = sizeof error;
  if (getsockopt(fd_, SOL_SOCKET, SO_ERROR, &error, &length) != 0) return errno;
  return error;
}

}  // namespace countersign::net
