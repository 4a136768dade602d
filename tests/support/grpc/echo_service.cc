#include "tests/support/grpc/echo_service.h"

#include <grpcpp/server_context.h>

#include <chrono>
#include <thread>

namespace countersign::test {

namespace {

using std::chrono::milliseconds;
using std::chrono::system_clock;

grpc::Status StatusOf(const v1::EchoRequest& request) {
  return {static_cast<grpc::StatusCode>(request.status_code()), request.status_message()};
}

}  // namespace

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

}  // namespace countersign::test
