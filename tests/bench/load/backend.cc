#include "tests/bench/load/backend.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "tests/bench/load/bulk_header.h"
#include "tests/bench/load/loopback.h"

namespace countersign::bench {

namespace {

constexpr size_t kBlockBytes = 256 * 1024;
constexpr size_t kBufferBytes = 16 * 1024;
// One connection may not keep the others waiting for longer than this many reads.
constexpr int kReadsPerEvent = 8;

enum class Protocol { kUndecided, kEcho, kUpload, kDownload, kHttp };

Protocol ProtocolOf(char first) {
  switch (first) {
    case 'E':
      return Protocol::kEcho;
    case 'U':
      return Protocol::kUpload;
    case 'D':
      return Protocol::kDownload;
    default:
      return Protocol::kHttp;
  }
}

std::string SmallBody() {
  std::string digits;
  for (int i = 0; i < 9; ++i) digits += "0123456789";
  return "{\"ok\":true,\"data\":\"" + digits + "0123\"}\n";
}

std::string HttpResponse(const std::string& body) {
  return "HTTP/1.1 200 OK\r\nServer: bench\r\nDate: Mon, 23 Nov 2026 12:00:00 GMT\r\n"
         "Content-Type: application/json\r\nContent-Length: " +
         std::to_string(body.size()) + "\r\nConnection: keep-alive\r\n\r\n" + body;
}

}  // namespace

struct Backend::Connection : Watched {
  Protocol protocol = Protocol::kUndecided;
  BulkHeader header;
  size_t header_bytes = 0;
  uint64_t left = 0;  // of the block that is being moved
  size_t length = 0;  // echo: bytes to be sent; HTTP: bytes of an incomplete request
  size_t offset = 0;
  const std::string* response = nullptr;  // HTTP: of which `offset` bytes are sent
  std::array<char, kBufferBytes> buffer;
};

Backend::Backend(const sockaddr_in& address)
    : small_response_(HttpResponse(SmallBody())),
      kib_response_(HttpResponse(std::string(1024, 'k'))),
      large_response_(HttpResponse(std::string(64 * 1024, 'l'))),
      block_(kBlockBytes, '\0') {
  listener_.fd = Listen(address);
  poller_.Arm(&listener_, EPOLLIN);
}

void Backend::Run() {
  for (;;) {
    for (const epoll_event& event : poller_.WaitForever()) {
      auto* watched = static_cast<Watched*>(event.data.ptr);
      if (watched == &listener_) {
        AcceptAll();
      } else {
        OnEvents(static_cast<Connection*>(watched), event.events);
      }
    }
  }
}

void Backend::AcceptAll() {
  for (int fd = Accept(listener_.fd); fd >= 0; fd = Accept(listener_.fd)) {
    auto* connection = new Connection;
    connection->fd = fd;
    poller_.Arm(connection, EPOLLIN);
  }
}

bool Backend::Close(Connection* connection) {
  close(connection->fd);
  delete connection;
  return false;
}

void Backend::OnEvents(Connection* c, uint32_t events) {
  if ((events & EPOLLOUT) != 0) {
    if (c->protocol == Protocol::kDownload) {
      if (!SendDownload(c)) return;
    } else if (c->protocol == Protocol::kHttp) {
      if (!FlushResponse(c) || c->response != nullptr || !AnswerHttp(c)) return;
    } else if (c->length > 0) {
      if (!FlushEcho(c) || c->length > 0) return;
    }
  }
  if ((events & (EPOLLIN | EPOLLHUP | EPOLLERR)) == 0) return;
  for (int i = 0; i < kReadsPerEvent; ++i) {
    if (c->protocol == Protocol::kDownload && c->left > 0) return;
    if (c->response != nullptr) return;
    const bool upload = c->protocol == Protocol::kUpload;
    char* const data = upload ? block_.data() : c->buffer.data() + c->length;
    const size_t room = upload ? block_.size() : c->buffer.size() - c->length;
    const ssize_t n = recv(c->fd, data, room, 0);
    if (n < 0 && errno == EAGAIN) return;
    if (n <= 0) {
      Close(c);
      return;
    }
    bool more = true;
    if (!OnBytes(c, data, static_cast<size_t>(n), &more) || !more) return;
  }
}

bool Backend::OnBytes(Connection* c, char* data, size_t size, bool* more) {
  if (c->protocol == Protocol::kUndecided) c->protocol = ProtocolOf(data[0]);
  switch (c->protocol) {
    case Protocol::kEcho:
      c->length = size;
      c->offset = 0;
      *more = size == kBufferBytes;
      if (!FlushEcho(c)) return false;
      if (c->length > 0) *more = false;
      return true;
    case Protocol::kUpload:
    case Protocol::kDownload:
      return OnBulk(c, data, size);
    default:
      *more = size >= 4096;
      return OnHttp(c, size);
  }
}

bool Backend::OnBulk(Connection* c, const char* data, size_t size) {
  for (size_t i = 0; i < size;) {
    if (c->header_bytes < c->header.size()) {
      c->header[c->header_bytes++] = data[i++];
      if (c->header_bytes == c->header.size()) {
        c->left = BulkLength(c->header);
        if (c->protocol == Protocol::kDownload) c->header_bytes = 0;
      }
      continue;
    }
    const uint64_t taken = std::min<uint64_t>(size - i, c->left);
    c->left -= taken;
    i += taken;
    if (c->left == 0) {
      c->header_bytes = 0;
      if (Send(c->fd, "k", 1) != 1) return Close(c);
    }
  }
  if (c->protocol == Protocol::kDownload && c->left > 0) return SendDownload(c);
  return true;
}

const std::string& Backend::ResponseTo(const char* request) const {
  if (strncmp(request, "GET /1k ", 8) == 0) return kib_response_;
  if (strncmp(request, "GET /64k ", 9) == 0) return large_response_;
  return small_response_;
}

bool Backend::OnHttp(Connection* c, size_t size) {
  c->length += size;
  return AnswerHttp(c);
}

bool Backend::AnswerHttp(Connection* c) {
  static constexpr char kEnd[] = "\r\n\r\n";
  char* start = c->buffer.data();
  size_t left = c->length;
  while (c->response == nullptr) {
    void* const end = memmem(start, left, kEnd, 4);
    if (end == nullptr) break;
    char* const next = static_cast<char*>(end) + 4;
    c->response = &ResponseTo(start);
    c->offset = 0;
    left -= static_cast<size_t>(next - start);
    start = next;
    if (!FlushResponse(c)) return false;
  }
  memmove(c->buffer.data(), start, left);
  c->length = left;
  // A request that fills the buffer has no end: the load tool never sends such a one.
  return left < c->buffer.size() || Close(c);
}

bool Backend::FlushResponse(Connection* c) {
  while (c->response != nullptr) {
    const size_t left = c->response->size() - c->offset;
    const ssize_t n = Send(c->fd, c->response->data() + c->offset, left);
    if (n < 0 && errno == EAGAIN) {
      poller_.Arm(c, EPOLLOUT);
      return true;
    }
    if (n < 0) return Close(c);
    c->offset += static_cast<size_t>(n);
    if (static_cast<size_t>(n) == left) c->response = nullptr;
  }
  c->offset = 0;
  poller_.Arm(c, EPOLLIN);
  return true;
}

bool Backend::SendDownload(Connection* c) {
  while (c->left > 0) {
    const ssize_t n = Send(c->fd, block_.data(), std::min<uint64_t>(c->left, block_.size()));
    if (n < 0 && errno == EAGAIN) {
      poller_.Arm(c, EPOLLIN | EPOLLOUT);
      return true;
    }
    if (n < 0) return Close(c);
    c->left -= static_cast<uint64_t>(n);
  }
  poller_.Arm(c, EPOLLIN);
  return true;
}

bool Backend::FlushEcho(Connection* c) {
  while (c->offset < c->length) {
    const ssize_t n = Send(c->fd, c->buffer.data() + c->offset, c->length - c->offset);
    if (n < 0 && errno == EAGAIN) {
      poller_.Arm(c, EPOLLOUT);
      return true;
    }
    if (n < 0) return Close(c);
    c->offset += static_cast<size_t>(n);
  }
  c->offset = c->length = 0;
  poller_.Arm(c, EPOLLIN);
  return true;
}

}  // namespace countersign::bench
