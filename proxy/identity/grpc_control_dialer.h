#ifndef COUNTERSIGN_PROXY_IDENTITY_GRPC_CONTROL_DIALER_H_
#define COUNTERSIGN_PROXY_IDENTITY_GRPC_CONTROL_DIALER_H_

#include <functional>
#include <memory>
#include <string>

#include "proxy/identity/control_stream.h"

namespace countersign::identity {

// Streams to the control plane over gRPC, each on a TLS connection of its own, since each may
// present another certificate.
//
// Threads: used on the main thread. One thread of its own waits for gRPC; it copies messages and
// posts them, nothing else. Lifetime: outlives every stream that it opened.
class GrpcControlDialer final : public ControlDialer {
 public:
  // Runs a function on the main thread soon, in order. Thread-safe.
  using Post = std::function<void(std::function<void()>)>;

  // `target` is `host:port`, `1.2.3.4:port` or `[v6]:port`.
  GrpcControlDialer(std::string target, Post post);
  ~GrpcControlDialer() override;

  std::unique_ptr<ControlStream> Open(const ControlStreamParams& params,
                                      ControlStream::Handler& handler) override;

 private:
  class Queue;
  class Call;
  class Stream;

  const std::string target_;
  const Post post_;
  std::unique_ptr<Queue> queue_;
};

}  // namespace countersign::identity

#endif  // COUNTERSIGN_PROXY_IDENTITY_GRPC_CONTROL_DIALER_H_
