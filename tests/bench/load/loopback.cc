#include "tests/bench/load/loopback.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>

#include "tests/bench/load/poller.h"

namespace countersign::bench {

namespace {

constexpr int kOn = 1;
constexpr int kBacklog = 4096;

int Dial(const sockaddr_in& address, int type) {
  const int fd = socket(AF_INET, type, 0);
  if (fd < 0) Die("socket");
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &kOn, sizeof kOn);
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 &&
      errno != EINPROGRESS) {
    close(fd);
    return -1;
  }
  return fd;
}

}  // namespace

sockaddr_in LoopbackAddress(const char* host, int port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(static_cast<uint16_t>(port));
  if (inet_pton(AF_INET, host, &address.sin_addr) != 1 ||
      (ntohl(address.sin_addr.s_addr) >> 24) != 127) {
    fprintf(stderr, "%s is no address in 127.0.0.0/8: this tool loads the loopback only\n", host);
    exit(2);
  }
  return address;
}

int Listen(const sockaddr_in& address) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
  if (fd < 0) Die("socket");
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &kOn, sizeof kOn);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) Die("bind");
  if (listen(fd, kBacklog) != 0) Die("listen");
  return fd;
}

int Accept(int listen_fd) {
  const int fd = accept4(listen_fd, nullptr, nullptr, SOCK_NONBLOCK);
  if (fd >= 0) setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &kOn, sizeof kOn);
  return fd;
}

int Connect(const sockaddr_in& address) {
  const int fd = Dial(address, SOCK_STREAM);
  if (fd >= 0) fcntl(fd, F_SETFL, O_NONBLOCK);
  return fd;
}

int StartConnect(const sockaddr_in& address) { return Dial(address, SOCK_STREAM | SOCK_NONBLOCK); }

ssize_t Send(int fd, const void* data, size_t size) { return send(fd, data, size, MSG_NOSIGNAL); }

}  // namespace countersign::bench
