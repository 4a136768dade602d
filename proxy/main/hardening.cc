#include "proxy/main/hardening.h"

#include <malloc.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>

namespace countersign::main {

void ForbidDumps() {
  const rlimit none{.rlim_cur = 0, .rlim_max = 0};
  setrlimit(RLIMIT_CORE, &none);
  prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
}

void SetUpSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGINT);
  sigprocmask(SIG_BLOCK, &set, nullptr);
  signal(SIGPIPE, SIG_IGN);
}

void RaiseDescriptorLimit() {
  rlimit limit{};
  if (getrlimit(RLIMIT_NOFILE, &limit) == 0 && limit.rlim_cur < limit.rlim_max) {
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
  }
}

void SetUpAllocator() {
  mallopt(M_ARENA_MAX, 2);
  mallopt(M_TRIM_THRESHOLD, 256 * 1024);
  mallopt(M_TOP_PAD, 64 * 1024);
  mallopt(M_MMAP_THRESHOLD, 256 * 1024);
  // gRPC reads its settings from the environment. The control streams need one name look-up and two
  // connections: no c-ares, no executor threads by the dozen.
  setenv("GRPC_DNS_RESOLVER", "native", 0);
  setenv("GRPC_VERBOSITY", "NONE", 0);
}

}  // namespace countersign::main
