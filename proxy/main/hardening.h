// What the process does to itself before it holds a secret.
#ifndef COUNTERSIGN_PROXY_MAIN_HARDENING_H_
#define COUNTERSIGN_PROXY_MAIN_HARDENING_H_

namespace countersign::main {

// No core dumps, and no debugger or /proc/PID/mem of another process of the same user: the private
// key lives in this memory.
void ForbidDumps();

// Signals that the main loop reads from a descriptor are blocked here, before any thread exists;
// a closed socket is an error code, not a signal.
void SetUpSignals();

// As many descriptors as this process may have: every connection takes two.
void RaiseDescriptorLimit();

// Few arenas and early give-back: a sidecar is idle most of its life, and there is one in every
// pod.
void SetUpAllocator();

// gRPC reads its settings from the environment, once; before any thread exists.
void SetUpControlStreams();

}  // namespace countersign::main

#endif  // COUNTERSIGN_PROXY_MAIN_HARDENING_H_
