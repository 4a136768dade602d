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
  sigaddset(&set, SIGUSR1);
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
  // The server's housekeeping trims when there is time; here a low threshold would make system
  // calls on the data path.
  mallopt(M_TRIM_THRESHOLD, 1024 * 1024);
  mallopt(M_TOP_PAD, 128 * 1024);
  mallopt(M_MMAP_THRESHOLD, 256 * 1024);
}

void SetUpControlStreams() {
  // One name look-up in the process's life: no c-ares.
  setenv("GRPC_DNS_RESOLVER", "native", 0);
  // Its lines have a format of their own; what failed arrives as a status and is logged by us.
  setenv("GRPC_VERBOSITY", "NONE", 0);
  // TLS 1.3 alone: gRPC 1.51 has no option for it, but takes the list of TLS 1.2 suites (TLS 1.3's
  // are not in it). One that needs a pre-shared key, which we never have, cannot be negotiated.
  setenv("GRPC_SSL_CIPHER_SUITES", "PSK-AES128-GCM-SHA256", 1);
}

}  // namespace countersign::main
