// The server's side of Echo: answers, and shows the caller what it saw.
#ifndef COUNTERSIGN_TESTS_SUPPORT_GRPC_ECHO_SERVICE_H_
#define COUNTERSIGN_TESTS_SUPPORT_GRPC_ECHO_SERVICE_H_

#include <string>

#include "tests/support/grpc/echo.grpc.pb.h"

namespace countersign::test {

// Each call carries the initial metadata `x-echo-server: NAME` and the trailing metadata
// `x-echo-trailer: done`, also a refused one. Called on gRPC's own threads; has no state.
class EchoService final : public v1::Echo::Service {
 public:
  explicit EchoService(std::string name) : name_(std::move(name)) {}

  grpc::Status Unary(grpc::ServerContext* context, const v1::EchoRequest* request,
                     v1::EchoReply* reply) override;
  grpc::Status Collect(grpc::ServerContext* context, grpc::ServerReader<v1::EchoRequest>* reader,
                       v1::EchoReply* reply) override;
  grpc::Status Expand(grpc::ServerContext* context, const v1::EchoRequest* request,
                      grpc::ServerWriter<v1::EchoReply>* writer) override;
  grpc::Status Converse(grpc::ServerContext* context,
                        grpc::ServerReaderWriter<v1::EchoReply, v1::EchoRequest>* stream) override;

 private:
  void Begin(grpc::ServerContext* context) const;
  void Fill(const grpc::ServerContext& context, const v1::EchoRequest& request,
            v1::EchoReply* reply) const;
  // Waits as the request says; false if the call was cancelled meanwhile.
  static bool Delay(const grpc::ServerContext& context, const v1::EchoRequest& request);

  const std::string name_;
};

}  // namespace countersign::test

#endif  // COUNTERSIGN_TESTS_SUPPORT_GRPC_ECHO_SERVICE_H_
