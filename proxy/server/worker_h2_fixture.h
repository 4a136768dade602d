// A client and an application that speak HTTP/2 in the clear, each a codec on a blocking socket.
#ifndef COUNTERSIGN_PROXY_SERVER_WORKER_H2_FIXTURE_H_
#define COUNTERSIGN_PROXY_SERVER_WORKER_H2_FIXTURE_H_

#include <functional>
#include <memory>
#include <string>

#include "proxy/http/h2/h2_client_codec.h"
#include "proxy/http/h2/h2_server_codec.h"
#include "proxy/http/testing/recorders.h"
#include "proxy/server/worker_http_fixture.h"

namespace countersign::server {

// Moves bytes between a codec and a socket. False once the connection is over.
inline bool PumpOut(http::Codec& codec, int fd) {
  bool open = true;
  return WriteAll(fd, http::testing::Drain(codec, &open)) && open;
}
inline bool PumpIn(http::Codec& codec, int fd) {
  char part[65536];
  const ssize_t n = read(fd, part, sizeof part);
  if (n <= 0) return false;
  http::testing::Feed(codec, std::string(part, static_cast<size_t>(n)));
  return PumpOut(codec, fd);
}

class H2Client {
 public:
  explicit H2Client(int fd) : fd_(fd), codec_(recorder_, http::CodecLimits()) {}
  ~H2Client() { close(fd_); }

  // `fill` adds to the head; with `end` there is no body.
  void Begin(http::testing::Call& call, const std::string& method, const std::string& path,
             bool end, const std::function<void(http::RequestHead&)>& fill = nullptr) {
    http::RequestHead head;
    http::testing::FillRequest(head, method, path);
    if (fill != nullptr) fill(head);
    call.stream = codec_.NewStream(call);
    ASSERT_NE(call.stream, nullptr);
    call.stream->SendHeaders(head, end);
    PumpOut(codec_, fd_);
  }
  void Send(http::testing::Call& call, const std::string& data, bool end) {
    buffer::Buffer buffer;
    buffer.Append(data);
    call.stream->SendData(buffer, end);
    PumpOut(codec_, fd_);
  }
  // Until `done` is true or the connection is over.
  bool Run(const std::function<bool()>& done) {
    while (!done()) {
      if (!PumpIn(codec_, fd_)) return done();
    }
    return true;
  }
  http::testing::ClientRecorder& recorder() { return recorder_; }
  http::h2::H2ClientCodec& codec() { return codec_; }
  int fd() const { return fd_; }

 private:
  const int fd_;
  http::testing::ClientRecorder recorder_;
  http::h2::H2ClientCodec codec_;
};

// `answer` is called for each request as soon as its head is there, and may look at the exchange
// again whenever something comes for it.
inline std::function<void(int)> H2Server(std::function<void(http::testing::Exchange&)> answer) {
  return [answer = std::move(answer)](int fd) {
    http::testing::ServerRecorder recorder;
    recorder.on_request = answer;
    http::h2::H2ServerCodec codec(recorder, http::CodecLimits());
    if (PumpOut(codec, fd)) {
      while (PumpIn(codec, fd)) {
      }
    }
    close(fd);
  };
}

}  // namespace countersign::server

#endif  // COUNTERSIGN_PROXY_SERVER_WORKER_H2_FIXTURE_H_
