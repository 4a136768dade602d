// The server's side of Echo: answers, and shows the caller what it saw.
#ifndef COUNTERSIGN_TESTS_SUPPORT_GRPC_ECHO_SERVER_H_
#define COUNTERSIGN_TESTS_SUPPORT_GRPC_ECHO_SERVER_H_

#include <memory>
#include <string>

namespace countersign::test {

// Serves Echo, server reflection and health checks in cleartext, on all addresses, on gRPC's own
// threads. Each call carries the initial metadata `x-echo-server: NAME` and the trailing metadata
// `x-echo-trailer: done`, also a refused one.
class EchoServer {
 public:
  EchoServer(const std::string& port, const std::string& name);
  ~EchoServer();

  // False: the port cannot be had.
  bool listening() const;
  // As an application that is told to end does it: GOAWAY, and calls that are open may finish.
  void Shutdown();

 private:
  struct Running;
  std::unique_ptr<Running> running_;
};

}  // namespace countersign::test

#endif  // COUNTERSIGN_TESTS_SUPPORT_GRPC_ECHO_SERVER_H_
