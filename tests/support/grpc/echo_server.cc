#include "tests/support/grpc/echo_server.h"

#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>

#include <chrono>
#include <thread>

#include "tests/support/grpc/echo.grpc.pb.h"

namespace countersign::test {

namespace {

using std::chrono::milliseconds;
using std::chrono::system_clock;

// Has no state beyond its name.
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

grpc::Status StatusOf(const v1::EchoRequest& request) {
  return {static_cast<grpc::StatusCode>(request.status_code()), request.status_message()};
}

void EchoService::Begin(grpc::ServerContext* context) const {
  context->AddInitialMetadata("x-echo-server", name_);
  context->AddTrailingMetadata("x-echo-trailer", "done");
}

void EchoService::Fill(const grpc::ServerContext& context, const v1::EchoRequest& request,
                       v1::EchoReply* reply) const {
  reply->set_server(name_);
  reply->set_message(request.message());
  reply->set_messages(reply->messages() + 1);
  reply->set_payload_bytes(reply->payload_bytes() + request.payload().size());
  reply->set_payload(std::string(request.reply_bytes(), 'e'));
  if (context.deadline() != system_clock::time_point::max()) {
    const auto left = context.deadline() - system_clock::now();
    reply->set_deadline_left_ms(std::chrono::duration_cast<milliseconds>(left).count());
  }
  for (const auto& [key, value] : context.client_metadata()) {
    (*reply->mutable_metadata())[std::string(key.data(), key.size())] =
        std::string(value.data(), value.size());
  }
}

bool EchoService::Delay(const grpc::ServerContext& context, const v1::EchoRequest& request) {
  const auto until = system_clock::now() + milliseconds(request.delay_ms());
  while (system_clock::now() < until) {
    if (context.IsCancelled()) return false;
    std::this_thread::sleep_for(milliseconds(5));
  }
  return true;
}

grpc::Status EchoService::Unary(grpc::ServerContext* context, const v1::EchoRequest* request,
                                v1::EchoReply* reply) {
  Begin(context);
  if (!Delay(*context, *request)) return grpc::Status::CANCELLED;
  Fill(*context, *request, reply);
  return StatusOf(*request);
}

grpc::Status EchoService::Collect(grpc::ServerContext* context,
                                  grpc::ServerReader<v1::EchoRequest>* reader,
                                  v1::EchoReply* reply) {
  Begin(context);
  v1::EchoRequest request;
  while (reader->Read(&request)) Fill(*context, request, reply);
  return StatusOf(request);
}

grpc::Status EchoService::Expand(grpc::ServerContext* context, const v1::EchoRequest* request,
                                 grpc::ServerWriter<v1::EchoReply>* writer) {
  Begin(context);
  for (uint32_t i = 0; i < request->count(); ++i) {
    if (!Delay(*context, *request)) return grpc::Status::CANCELLED;
    v1::EchoReply reply;
    Fill(*context, *request, &reply);
    reply.set_messages(i + 1);
    if (!writer->Write(reply)) return grpc::Status::CANCELLED;
  }
  return StatusOf(*request);
}

grpc::Status EchoService::Converse(
    grpc::ServerContext* context,
    grpc::ServerReaderWriter<v1::EchoReply, v1::EchoRequest>* stream) {
  Begin(context);
  v1::EchoRequest request;
  uint32_t heard = 0;
  while (stream->Read(&request)) {
    if (!Delay(*context, request)) return grpc::Status::CANCELLED;
    v1::EchoReply reply;
    Fill(*context, request, &reply);
    reply.set_messages(++heard);
    if (!stream->Write(reply)) return grpc::Status::CANCELLED;
  }
  return StatusOf(request);
}

}  // namespace

struct EchoServer::Running {
  explicit Running(const std::string& name) : service(name) {}

  EchoService service;
  std::unique_ptr<grpc::Server> server;
};

EchoServer::EchoServer(const std::string& port, const std::string& name)
    : running_(std::make_unique<Running>(name)) {
  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(64 << 20);
  builder.AddListeningPort("[::]:" + port, grpc::InsecureServerCredentials());
  builder.RegisterService(&running_->service);
  running_->server = builder.BuildAndStart();
}

EchoServer::~EchoServer() = default;

bool EchoServer::listening() const { return running_->server != nullptr; }

void EchoServer::Shutdown() {
  running_->server->Shutdown(system_clock::now() + std::chrono::seconds(5));
}

}  // namespace countersign::test
