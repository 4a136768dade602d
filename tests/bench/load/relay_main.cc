// bench-relay LISTEN-PORT TARGET-PORT: a bare TCP relay on 127.0.0.1, without TLS or any protocol.
// Two of them are the floor of a pair: what the kernel alone costs.
#include <errno.h>
#include <signal.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "tests/bench/load/loopback.h"
#include "tests/bench/load/poller.h"

namespace countersign::bench {
namespace {

constexpr size_t kReadBytes = 256 * 1024;
constexpr int kReadsPerEvent = 2;

// One end of a relayed connection. Freed, with its peer, after the events of the loop's turn.
struct Side : Watched {
  Side* peer = nullptr;
  bool dead = false;
  bool connecting = false;
  bool ended = false;    // this side has sent its FIN
  std::string buffered;  // read from this side, waiting for the peer to take it
  size_t taken = 0;      // bytes of `buffered` that the peer has got
};

// One thread; lives as long as the program.
class Relay {
 public:
  Relay(const sockaddr_in& listen, const sockaddr_in& target)
      : target_(target), block_(kReadBytes, '\0') {
    listener_.fd = Listen(listen);
    poller_.Arm(&listener_, EPOLLIN);
  }

  [[noreturn]] void Run() {
    for (;;) {
      for (const epoll_event& event : poller_.WaitForever()) {
        auto* watched = static_cast<Watched*>(event.data.ptr);
        if (watched == &listener_) {
          AcceptAll();
        } else {
          OnEvents(static_cast<Side*>(watched), event.events);
        }
      }
      for (Side* side : dead_) delete side;
      dead_.clear();
    }
  }

 private:
  void AcceptAll() {
    for (int fd = Accept(listener_.fd); fd >= 0; fd = Accept(listener_.fd)) {
      const int upstream = StartConnect(target_);
      if (upstream < 0) {
        close(fd);
        continue;
      }
      auto* a = new Side;
      auto* b = new Side;
      a->fd = fd;
      b->fd = upstream;
      a->peer = b;
      b->peer = a;
      b->connecting = true;
      Update(a);
      Update(b);
    }
  }

  void OnEvents(Side* side, uint32_t events) {
    if (side->dead) return;
    if ((events & EPOLLERR) != 0) return Kill(side);
    if ((events & EPOLLOUT) != 0) {
      side->connecting = false;
      Flush(side);
      if (side->dead) return;
    }
    if ((events & (EPOLLIN | EPOLLHUP)) != 0) {
      if (side->ended && side->peer->ended) return Kill(side);
      Read(side);
      if (side->dead) return;
      if ((events & EPOLLHUP) != 0 && side->ended) return Kill(side);
    }
    Update(side);
    Update(side->peer);
  }

  void Read(Side* side) {
    Side* peer = side->peer;
    for (int i = 0; i < kReadsPerEvent && side->buffered.empty() && !side->ended; ++i) {
      const ssize_t n = recv(side->fd, block_.data(), block_.size(), 0);
      if (n < 0 && errno == EAGAIN) return;
      if (n < 0) return Kill(side);
      if (n == 0) {
        side->ended = true;
        shutdown(peer->fd, SHUT_WR);  // nothing is buffered: we would not have read
        if (peer->ended) Kill(side);
        return;
      }
      ssize_t sent = 0;
      if (!peer->connecting) {
        sent = Send(peer->fd, block_.data(), static_cast<size_t>(n));
        if (sent < 0 && errno != EAGAIN) return Kill(side);
        if (sent < 0) sent = 0;
      }
      if (sent < n) side->buffered.assign(block_.data() + sent, static_cast<size_t>(n - sent));
      if (static_cast<size_t>(n) < block_.size()) return;
    }
  }

  // Sends to `side` what its peer has buffered.
  void Flush(Side* side) {
    Side* peer = side->peer;
    while (peer->taken < peer->buffered.size()) {
      const ssize_t n =
          Send(side->fd, peer->buffered.data() + peer->taken, peer->buffered.size() - peer->taken);
      if (n < 0 && errno == EAGAIN) return;
      if (n < 0) return Kill(side);
      peer->taken += static_cast<size_t>(n);
    }
    peer->taken = 0;
    std::string().swap(peer->buffered);
    if (peer->ended) shutdown(side->fd, SHUT_WR);
  }

  void Update(Side* side) {
    uint32_t events = 0;
    if (side->buffered.empty() && !side->ended) events |= EPOLLIN;
    if (!side->peer->buffered.empty() || side->connecting) events |= EPOLLOUT;
    // An interest of nothing still reports errors and hang-ups, and must stay registered.
    poller_.Arm(side, events | EPOLLERR);
  }

  void Kill(Side* side) {
    for (Side* s : {side, side->peer}) {
      s->dead = true;
      close(s->fd);
      dead_.push_back(s);
    }
  }

  const sockaddr_in target_;
  Poller poller_;
  Watched listener_;
  std::string block_;
  std::vector<Side*> dead_;
};

}  // namespace
}  // namespace countersign::bench

int main(int argc, char** argv) {
  if (argc != 3) {
    fputs("usage: bench-relay LISTEN-PORT TARGET-PORT\n", stderr);
    return 2;
  }
  signal(SIGPIPE, SIG_IGN);
  using countersign::bench::LoopbackAddress;
  countersign::bench::Relay(LoopbackAddress("127.0.0.1", atoi(argv[1])),
                            LoopbackAddress("127.0.0.1", atoi(argv[2])))
      .Run();
}
