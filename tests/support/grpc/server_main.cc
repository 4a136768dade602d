// grpc-echo-server PORT NAME: serves Echo until SIGTERM.
#include <signal.h>

#include <cstdio>

#include "tests/support/grpc/echo_server.h"

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

  countersign::test::EchoServer server(argv[1], argv[2]);
  if (!server.listening()) return 1;
  puts("ready");
  fflush(stdout);
  int signal_number = 0;
  sigwait(&ends, &signal_number);
  server.Shutdown();
  return 0;
}
