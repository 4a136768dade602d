#include "proxy/net/connection.h"

#include <errno.h>
#include <sys/socket.h>

#include <utility>

namespace countersign::net {

using buffer::Buffer;
using buffer::CloseReason;

namespace {

// A turn's share of one connection, so that a fast sender starves nobody.
constexpr size_t kReadBudget = 256 * 1024;

}  // namespace

Connection::Connection(event::Dispatcher& dispatcher, Socket socket,
                       std::unique_ptr<TransportSocket> transport, State state)
    : dispatcher_(dispatcher),
      socket_(std::move(socket)),
      transport_(std::move(transport)),
      flush_(this, [](void* self) { static_cast<Connection*>(self)->Flush(); }),
      resume_(this, [](void* self) { static_cast<Connection*>(self)->ReadSome(); }),
      connecting_(state == State::kConnecting) {
  event_.emplace(dispatcher_, socket_.fd(), static_cast<event::FileEvent::Handler&>(*this));
  if (!connecting_) open_ = transport_->open();
  // A client's handshake has the first word.
  if (transport_->wants_write()) ScheduleFlush();
}

Connection::~Connection() { Reset(); }

void Connection::SetTransport(std::unique_ptr<TransportSocket> transport) {
  transport_ = std::move(transport);
  open_ = !connecting_ && transport_->open();
  if (transport_->wants_write()) ScheduleFlush();
  // What the new transport was given to start with has no edge of its own.
  readable_ = true;
  if (read_disabled_ == 0) dispatcher_.RunNextTurn(resume_);
}

void Connection::Write(Buffer& data, bool end) {
  if (closed()) return data.Clear();
  bytes_written_ += data.size();
  write_.Move(data);
  if (end) end_pending_ = true;
  if (unsent() >= buffer::kHighWatermark) above_high_ = true;
  if (!blocked_ && !connecting_) ScheduleFlush();
}

void Connection::ReadDisable(bool disable) {
  if (disable) {
    ++read_disabled_;
    resume_.Cancel();
    return;
  }
  if (--read_disabled_ == 0 && readable_ && !closed()) dispatcher_.RunNextTurn(resume_);
}

void Connection::Release() {
  event_.reset();
  flush_.Cancel();
  resume_.Cancel();
  write_.Clear();
}

void Connection::Reset() {
  if (closed()) return;
  Release();
  socket_.CloseWithReset();
}

void Connection::Close() {
  if (closed()) return;
  // An alert or a close_notify that is waiting still goes out, as far as the socket takes it.
  if (transport_->wants_write() && !connecting_) {
    Buffer none;
    (void)transport_->Write(socket_, none, false);
  }
  Release();
  socket_.Close();
}

void Connection::Fail(CloseReason reason) {
  // The alert that explains a failed handshake must not be overtaken by RST.
  if (reason == CloseReason::kPeerReset || !transport_->wants_write()) {
    Reset();
  } else {
    Close();
  }
  handler_->OnClosed(*this, reason);
}

void Connection::CheckOpen() {
  if (open_ || connecting_ || !transport_->open()) return;
  open_ = true;
  if (!write_.empty() || end_pending_) ScheduleFlush();
  handler_->OnOpen(*this);
}

void Connection::OnFileEvent(uint32_t events) {
  if (connecting_) {
    const int error = socket_.TakeError();
    if (error != 0) return Fail(ConnectFailure(error));
    if ((events & event::kWritable) == 0) return;
    connecting_ = false;
    ScheduleFlush();
    CheckOpen();
    if (closed()) return;
  }
  if (events & event::kPeerClosed) peer_closed_ = true;
  if (events & event::kWritable && blocked_) {
    blocked_ = false;
    ScheduleFlush();
  }
  if (events & (event::kReadable | event::kPeerClosed)) {
    readable_ = true;
    if (read_disabled_ == 0 && !read_ended_) return ReadSome();
    // Nobody reads now, but a reset must not wait for that.
    if (const int error = socket_.TakeError(); error != 0) {
      Fail(error == ETIMEDOUT ? CloseReason::kConnectTimeout : CloseReason::kPeerReset);
    }
  }
}

void Connection::ReadSome() {
  size_t total = 0;
  while (read_disabled_ == 0 && readable_ && !closed() && !read_ended_) {
    if (total >= kReadBudget) return dispatcher_.RunNextTurn(resume_);
    Buffer data;
    const IoResult result = transport_->Read(socket_, data, peer_closed_);
    total += data.size() + 1;
    bytes_read_ += data.size();
    if (result.status == IoStatus::kAgain) readable_ = false;
    if (result.status == IoStatus::kEnd) {
      read_ended_ = true;
      readable_ = false;
    }
    if (transport_->wants_write() && !blocked_) ScheduleFlush();
    CheckOpen();
    if (closed()) return;
    if (!data.empty() || read_ended_) {
      handler_->OnData(*this, data, read_ended_);
      if (closed()) return;
    }
    if (result.status == IoStatus::kFailed) return Fail(result.reason);
    if (read_ended_) return MaybeFinish();
  }
}

void Connection::Flush() {
  if (closed() || connecting_ || blocked_) return;
  const IoResult result = transport_->Write(socket_, write_, end_pending_);
  switch (result.status) {
    case IoStatus::kFailed:
      return Fail(result.reason);
    case IoStatus::kAgain:
      blocked_ = true;
      write_.Compact();
      break;
    case IoStatus::kDone:
      if (end_pending_ && !write_shut_) {
        write_shut_ = true;
        if (!read_ended_) (void)shutdown(socket_.fd(), SHUT_WR);
      }
      break;
    case IoStatus::kMore:  // the handshake goes first
    case IoStatus::kEnd:
      break;
  }
  CheckOpen();
  if (closed()) return;
  if (above_high_ && unsent() <= buffer::kLowWatermark) {
    above_high_ = false;
    handler_->OnWritable(*this);
    if (closed()) return;
  }
  MaybeFinish();
}

void Connection::MaybeFinish() {
  if (!read_ended_ || !write_shut_ || closed()) return;
  Release();
  socket_.Close();
  handler_->OnClosed(*this, CloseReason::kFinished);
}

}  // namespace countersign::net
