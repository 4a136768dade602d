#include "proxy/listener/accept_socket.h"

#include <errno.h>
#include <fcntl.h>

#include <utility>

namespace countersign::listener {
namespace {

constexpr std::chrono::milliseconds kRest{50};

int OpenSpare() { return open("/dev/null", O_RDONLY | O_CLOEXEC); }

}  // namespace

AcceptSocket::AcceptSocket(event::Dispatcher& dispatcher, net::Socket socket,
                           const net::Address& address, Handler& handler)
    : socket_(std::move(socket)),
      address_(socket_.LocalAddress().value_or(address)),
      handler_(handler),
      spare_(OpenSpare()),
      resume_(dispatcher.timers(), this,
              [](void* self) { static_cast<AcceptSocket*>(self)->event_.Enable(true); }),
      event_(dispatcher, socket_.fd(), *this, event::FileEvent::Mode::kLevelRead) {}

void AcceptSocket::OnFileEvent(uint32_t) {
  // Somebody else may have taken the descriptor when it was given up.
  if (!spare_.valid()) spare_ = net::Socket(OpenSpare());
  for (int i = 0; i < kBatch; ++i) {
    net::Address peer;
    int error = 0;
    net::Socket socket = socket_.Accept(&peer, &error);
    if (socket.valid()) {
      handler_.OnAccept(*this, std::move(socket), peer);
      continue;
    }
    switch (error) {
      case EAGAIN:
        return;
      case ECONNABORTED:
      case EINTR:
      case EPROTO:
        continue;
      default:
        return Refuse(error);
    }
  }
}

void AcceptSocket::Refuse(int error) {
  handler_.OnAcceptFailed(*this, error);
  if (spare_.valid() && (error == EMFILE || error == ENFILE)) {
    spare_.Close();
    net::Address peer;
    int ignored = 0;
    socket_.Accept(&peer, &ignored).CloseWithReset();
    spare_ = net::Socket(OpenSpare());
  }
  event_.Enable(false);
  resume_.Arm(kRest);
}

}  // namespace countersign::listener
