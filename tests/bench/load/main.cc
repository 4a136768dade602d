// bench-load: the load generator and the application at the two ends of a measured pair.
#include <signal.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "tests/bench/load/backend.h"
#include "tests/bench/load/http_load.h"
#include "tests/bench/load/loopback.h"
#include "tests/bench/load/report.h"
#include "tests/bench/load/tcp_load.h"

namespace countersign::bench {
namespace {

constexpr char kUsage[] =
    "usage: bench-load server PORT [BIND-ADDRESS]\n"
    "       bench-load http HOST PORT CONNECTIONS RATE SECONDS [PATH]   RATE 0: closed loop\n"
    "       bench-load bulk HOST PORT CONNECTIONS SECONDS U|D MIB\n"
    "       bench-load cps  HOST PORT CONCURRENT SECONDS\n"
    "       bench-load pp   HOST PORT CONNECTIONS BYTES SECONDS\n"
    "       bench-load idle HOST PORT COUNT                         held until stdin ends\n"
    "Every load prints one line of JSON. All addresses are in 127.0.0.0/8.\n";

size_t Number(const char* text) { return strtoull(text, nullptr, 10); }

bool RunLoad(int argc, char** argv, Report* report) {
  const char* mode = argv[1];
  const sockaddr_in address = LoopbackAddress(argv[2], atoi(argv[3]));
  if (strcmp(mode, "http") == 0 && (argc == 7 || argc == 8)) {
    HttpLoad({.address = address,
              .connections = Number(argv[4]),
              .rate = atof(argv[5]),
              .seconds = atof(argv[6]),
              .path = argc == 8 ? argv[7] : "/bench"})
        .Run(report);
  } else if (strcmp(mode, "bulk") == 0 && argc == 8) {
    RunBulk({.address = address,
             .connections = Number(argv[4]),
             .seconds = atof(argv[5]),
             .direction = argv[6][0],
             .block_mib = Number(argv[7])},
            report);
  } else if (strcmp(mode, "cps") == 0 && argc == 6) {
    RunConnect({.address = address, .concurrent = Number(argv[4]), .seconds = atof(argv[5])},
               report);
  } else if (strcmp(mode, "pp") == 0 && argc == 7) {
    RunEcho({.address = address,
             .connections = Number(argv[4]),
             .size = Number(argv[5]),
             .seconds = atof(argv[6])},
            report);
  } else {
    return false;
  }
  return true;
}

int Main(int argc, char** argv) {
  signal(SIGPIPE, SIG_IGN);
  if (argc >= 3 && strcmp(argv[1], "server") == 0) {
    const char* bind_address = argc > 3 ? argv[3] : "127.0.0.1";
    Backend(LoopbackAddress(bind_address, atoi(argv[2]))).Run();
  }
  if (argc == 5 && strcmp(argv[1], "idle") == 0) {
    RunIdle(LoopbackAddress(argv[2], atoi(argv[3])), Number(argv[4]));
    return 0;
  }
  Report report;
  if (argc < 5 || !RunLoad(argc, argv, &report)) {
    fputs(kUsage, stderr);
    return 2;
  }
  report.Print();
  return 0;
}

}  // namespace
}  // namespace countersign::bench

int main(int argc, char** argv) { return countersign::bench::Main(argc, argv); }
