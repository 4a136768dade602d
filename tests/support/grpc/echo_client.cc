#include "tests/support/grpc/echo_client.h"

#include <grpcpp/grpcpp.h>

#include <chrono>
#include <map>
#include <sstream>

#include "tests/support/grpc/echo.grpc.pb.h"

namespace countersign::test {

namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using std::chrono::steady_clock;
using std::chrono::system_clock;

constexpr int kStreamMessages = 100;
constexpr size_t kStreamBytes = 8 * 1024;
constexpr size_t kLargeBytes = 8 << 20;

std::string Words(const grpc::Status& status) {
  return std::to_string(status.error_code()) + " " + status.error_message();
}

std::string Differ(const std::string& what, uint64_t wanted, uint64_t got) {
  if (wanted == got) return "";
  return what + ": " + std::to_string(got) + " instead of " + std::to_string(wanted);
}

// A context whose call may take ten seconds: no scenario hangs.
struct Call : grpc::ClientContext {
  explicit Call(milliseconds deadline = seconds(10)) {
    set_deadline(system_clock::now() + deadline);
  }
};

}  // namespace

struct EchoClient::Channel {
  std::unique_ptr<v1::Echo::Stub> stub;
};

EchoClient::EchoClient(const std::string& address) : channel_(std::make_unique<Channel>()) {
  grpc::ChannelArguments arguments;
  arguments.SetMaxReceiveMessageSize(64 << 20);
  arguments.SetInt(GRPC_ARG_ENABLE_HTTP_PROXY, 0);
  channel_->stub = v1::Echo::NewStub(
      grpc::CreateCustomChannel(address, grpc::InsecureChannelCredentials(), arguments));
}

EchoClient::~EchoClient() = default;

std::string EchoClient::Run(const std::string& scenario) {
  if (scenario == "unary") return RunUnary();
  if (scenario == "collect") return RunCollect();
  if (scenario == "expand") return RunExpand();
  if (scenario == "converse") return RunConverse();
  if (scenario == "deadline") return RunDeadline();
  if (scenario == "status") return RunStatus();
  if (scenario == "trailers") return RunTrailers();
  if (scenario == "large") return RunLarge();
  if (scenario == "cancel") return RunCancel();
  return "no such scenario";
}

std::string EchoClient::RunUnary() {
  Call call;
  v1::EchoRequest request;
  v1::EchoReply reply;
  request.set_message("hello");
  request.set_payload("four");
  const grpc::Status status = channel_->stub->Unary(&call, request, &reply);
  if (!status.ok()) return Words(status);
  if (reply.message() != "hello") return "the message came back as " + reply.message();
  return Differ("payload bytes", 4, reply.payload_bytes());
}

std::string EchoClient::RunCollect() {
  Call call;
  v1::EchoRequest request;
  v1::EchoReply reply;
  request.set_payload(std::string(kStreamBytes, 'c'));
  auto writer = channel_->stub->Collect(&call, &reply);
  for (int i = 0; i < kStreamMessages; ++i) {
    if (!writer->Write(request)) break;
  }
  writer->WritesDone();
  const grpc::Status status = writer->Finish();
  if (!status.ok()) return Words(status);
  const std::string wrong = Differ("messages", kStreamMessages, reply.messages());
  return wrong.empty()
             ? Differ("payload bytes", kStreamMessages * kStreamBytes, reply.payload_bytes())
             : wrong;
}

std::string EchoClient::RunExpand() {
  Call call;
  v1::EchoRequest request;
  v1::EchoReply reply;
  request.set_count(kStreamMessages);
  request.set_reply_bytes(kStreamBytes);
  auto reader = channel_->stub->Expand(&call, request);
  uint64_t messages = 0;
  uint64_t bytes = 0;
  while (reader->Read(&reply)) {
    bytes += reply.payload().size();
    if (reply.messages() != ++messages) return "messages out of order";
  }
  const grpc::Status status = reader->Finish();
  if (!status.ok()) return Words(status);
  const std::string wrong = Differ("messages", kStreamMessages, messages);
  return wrong.empty() ? Differ("payload bytes", kStreamMessages * kStreamBytes, bytes) : wrong;
}

std::string EchoClient::RunConverse() {
  Call call;
  v1::EchoRequest request;
  v1::EchoReply reply;
  auto stream = channel_->stub->Converse(&call);
  // Each answer must be here before the next question: a proxy that waits for more bytes would
  // hang.
  for (int i = 1; i <= kStreamMessages; ++i) {
    request.set_message(std::to_string(i));
    if (!stream->Write(request) || !stream->Read(&reply)) return Words(stream->Finish());
    if (reply.message() != request.message()) return "an answer to another question";
  }
  stream->WritesDone();
  if (stream->Read(&reply)) return "an answer without a question";
  const grpc::Status status = stream->Finish();
  return status.ok() ? "" : Words(status);
}

std::string EchoClient::RunDeadline() {
  v1::EchoRequest request;
  v1::EchoReply reply;
  Call generous(seconds(8));
  const grpc::Status status = channel_->stub->Unary(&generous, request, &reply);
  if (!status.ok()) return Words(status);
  if (reply.deadline_left_ms() < 4'000 || reply.deadline_left_ms() > 8'100) {
    return "the server was told of " + std::to_string(reply.deadline_left_ms()) + " ms";
  }
  Call tight(milliseconds(300));
  request.set_delay_ms(5'000);
  const auto started = steady_clock::now();
  const grpc::Status late = channel_->stub->Unary(&tight, request, &reply);
  if (late.error_code() != grpc::StatusCode::DEADLINE_EXCEEDED) return Words(late);
  return steady_clock::now() - started < seconds(2) ? "" : "the deadline came too late";
}

std::string EchoClient::RunStatus() {
  v1::EchoReply reply;
  for (uint32_t code = 1; code <= 16; ++code) {
    Call call;
    v1::EchoRequest request;
    request.set_status_code(code);
    request.set_status_message("as told, 100% of \"it\" — naïvely");
    const grpc::Status status = channel_->stub->Unary(&call, request, &reply);
    if (static_cast<uint32_t>(status.error_code()) != code) {
      return Differ("status", code, status.error_code()) + ": " + status.error_message();
    }
    if (status.error_message() != request.status_message()) return Words(status);
  }
  return "";
}

std::string EchoClient::RunTrailers() {
  Call call;
  v1::EchoRequest request;
  v1::EchoReply reply;
  request.set_status_code(grpc::StatusCode::FAILED_PRECONDITION);
  request.set_count(3);
  auto reader = channel_->stub->Expand(&call, request);
  int messages = 0;
  while (reader->Read(&reply)) ++messages;
  const grpc::Status status = reader->Finish();
  if (status.error_code() != grpc::StatusCode::FAILED_PRECONDITION) return Words(status);
  if (messages != 3) return Differ("messages before the refusal", 3, messages);
  const auto& trailers = call.GetServerTrailingMetadata();
  const auto found = trailers.find("x-echo-trailer");
  if (found == trailers.end() || found->second != "done") return "the trailer is lost";
  const auto& heads = call.GetServerInitialMetadata();
  return heads.count("x-echo-server") == 1 ? "" : "the initial metadata are lost";
}

std::string EchoClient::RunLarge() {
  Call call;
  v1::EchoRequest request;
  v1::EchoReply reply;
  request.set_payload(std::string(kLargeBytes, 'l'));
  request.set_reply_bytes(kLargeBytes);
  const grpc::Status status = channel_->stub->Unary(&call, request, &reply);
  if (!status.ok()) return Words(status);
  const std::string wrong = Differ("bytes sent", kLargeBytes, reply.payload_bytes());
  return wrong.empty() ? Differ("bytes received", kLargeBytes, reply.payload().size()) : wrong;
}

std::string EchoClient::RunCancel() {
  Call call;
  v1::EchoRequest request;
  v1::EchoReply reply;
  request.set_count(1'000'000);
  request.set_delay_ms(1);
  auto reader = channel_->stub->Expand(&call, request);
  if (!reader->Read(&reply)) return Words(reader->Finish());
  call.TryCancel();
  while (reader->Read(&reply)) {
  }
  const grpc::Status status = reader->Finish();
  if (status.error_code() != grpc::StatusCode::CANCELLED) return Words(status);
  return RunUnary();  // the connection lives on
}

std::string EchoClient::Spread(int calls) {
  std::map<std::string, int> answers;
  int failed = 0;
  std::string why;
  for (int i = 0; i < calls; ++i) {
    Call call;
    v1::EchoRequest request;
    v1::EchoReply reply;
    const grpc::Status status = channel_->stub->Unary(&call, request, &reply);
    if (status.ok()) {
      ++answers[reply.server()];
    } else {
      ++failed;
      why = Words(status);
    }
  }
  std::ostringstream words;
  for (const auto& [server, count] : answers) words << server << "=" << count << " ";
  words << "failed=" << failed;
  if (failed > 0) words << " (" << why << ")";
  return words.str();
}

std::string EchoClient::Unary(uint32_t status_code, uint32_t delay_ms, uint32_t deadline_ms) {
  Call call{milliseconds(deadline_ms)};
  v1::EchoRequest request;
  v1::EchoReply reply;
  request.set_status_code(status_code);
  request.set_delay_ms(delay_ms);
  return Words(channel_->stub->Unary(&call, request, &reply));
}

}  // namespace countersign::test
