#include "proxy/net/transport_socket.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

namespace countersign::net {
namespace {

using buffer::BlockPool;
using buffer::CloseReason;

constexpr int kMaxIov = 64;
constexpr size_t kCopied = 2048;

CloseReason ReasonOf(int error) {
  switch (error) {
    case ETIMEDOUT:
      return CloseReason::kConnectTimeout;
    case ECONNREFUSED:
      return CloseReason::kConnectRefused;
    case ENETUNREACH:
    case EHOSTUNREACH:
    case ENETDOWN:
      return CloseReason::kUnreachable;
    default:
      return CloseReason::kPeerReset;
  }
}

}  // namespace

IoResult ReadSocket(const Socket& socket, buffer::Buffer& to, uint8_t* hint, bool expect_end) {
  BlockPool& pool = BlockPool::ForThisThread();
  BlockPool::Room room;
  pool.Reserve(*hint, &room);
  ssize_t n;
  do {
    // Not read(2), which goes to the socket by way of the file system.
    if (room.count == 1) {
      n = recv(socket.fd(), room.iov[0].iov_base, room.iov[0].iov_len, 0);
    } else {
      msghdr message{};
      message.msg_iov = room.iov;
      message.msg_iovlen = static_cast<size_t>(room.count);
      n = recvmsg(socket.fd(), &message, 0);
    }
  } while (n < 0 && errno == EINTR);
  const int error = errno;
  const size_t offered = room.size;
  buffer::Slice *head, *tail;
  pool.Commit(&room, n > 0 ? static_cast<size_t>(n) : 0, &head, &tail);
  if (n > 0) {
    to.AppendChain(head, tail, static_cast<size_t>(n));
    if (static_cast<size_t>(n) == offered) {
      *hint = BlockPool::kMaxReadBlocks;
      return {IoStatus::kMore};
    }
    if (static_cast<size_t>(n) < offered / 8) *hint = 1;
    // A short read has emptied the socket, and whatever comes later is a new edge (epoll(7)); only
    // an end that was already announced has no edge left.
    return {expect_end ? IoStatus::kMore : IoStatus::kAgain};
  }
  if (n == 0) return {IoStatus::kEnd};
  if (error == EAGAIN || error == EWOULDBLOCK) {
    *hint = 1;
    return {IoStatus::kAgain};
  }
  return {IoStatus::kFailed, ReasonOf(error)};
}

IoResult WriteSocket(const Socket& socket, buffer::Buffer& from) {
  while (!from.empty()) {
    iovec iov[kMaxIov];
    const int count = from.Peek(iov, kMaxIov);
    size_t offered = 0;
    for (int i = 0; i < count; ++i) offered += iov[i].iov_len;
    if (count > 1 && offered <= kCopied) {
      // To copy a head and a small body together is cheaper than to have the kernel gather them.
      char together[kCopied];
      (void)from.CopyOut(together, offered);
      const ssize_t n = send(socket.fd(), together, offered, MSG_NOSIGNAL);
      if (n > 0) {
        from.Drain(static_cast<size_t>(n));
        if (static_cast<size_t>(n) < offered) return {IoStatus::kAgain};
        continue;
      }
      if (n < 0 && errno == EINTR) continue;
      if (n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK)) return {IoStatus::kAgain};
      return {IoStatus::kFailed, ReasonOf(errno)};
    }
    msghdr message{};
    message.msg_iov = iov;
    message.msg_iovlen = static_cast<size_t>(count);
    ssize_t n;
    do {
      n = count == 1 ? send(socket.fd(), iov[0].iov_base, iov[0].iov_len, MSG_NOSIGNAL)
                     : sendmsg(socket.fd(), &message, MSG_NOSIGNAL);
    } while (n < 0 && errno == EINTR);
    if (n < 0) {
      if (errno == EAGAIN || errno == EWOULDBLOCK) return {IoStatus::kAgain};
      return {IoStatus::kFailed, ReasonOf(errno)};
    }
    from.Drain(static_cast<size_t>(n));
    if (static_cast<size_t>(n) < offered) return {IoStatus::kAgain};
  }
  return {IoStatus::kDone};
}

}  // namespace countersign::net
