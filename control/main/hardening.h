// What a process that holds an authority's key does to itself before it does anything else.
#ifndef COUNTERSIGN_CONTROL_MAIN_HARDENING_H_
#define COUNTERSIGN_CONTROL_MAIN_HARDENING_H_

namespace countersign::control {

// No core dumps, no ptrace by others of the same user, files private unless said otherwise, and few
// malloc arenas, so that memory comes back. Call first, in the main thread.
void HardenProcess();

}  // namespace countersign::control

#endif  // COUNTERSIGN_CONTROL_MAIN_HARDENING_H_
