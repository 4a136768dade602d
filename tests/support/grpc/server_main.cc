// grpc-echo-server PORT NAME: serves Echo, server reflection and health checks in cleartext, on all
// addresses, until SIGTERM.
#include <grpcpp/ext/proto_server_reflection_plugin.h>
#include <grpcpp/grpcpp.h>
#include <signal.h>

#include <cstdio>
#include <string>

#include "tests/support/grpc/echo_service.h"

int main(int argc, char** argv) {
  if (argc != 3) {
    fputs("usage: grpc-echo-server PORT NAME\n", stderr);
    return 2;
  }
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);  // gRPC's threads inherit it

  grpc::EnableDefaultHealthCheckService(true);
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
  countersign::test::EchoService service(argv[2]);
  grpc::ServerBuilder builder;
  builder.SetMaxReceiveMessageSize(64 << 20);
  builder.AddListeningPort(std::string("[::]:") + argv[1], grpc::InsecureServerCredentials());
  builder.RegisterService(&service);
  const std::unique_ptr<grpc::Server> server = builder.BuildAndStart();
  if (server == nullptr) return 1;
  puts("ready");
  fflush(stdout);
  int signal_number = 0;
  sigwait(&ends, &signal_number);
  // As an application that is told to end does it: GOAWAY, and the calls that are open may finish.
  server->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(5));
  return 0;
}
