// What the kernel knows of this process.
#ifndef COUNTERSIGN_PROXY_SERVER_PROCESS_STATS_H_
#define COUNTERSIGN_PROXY_SERVER_PROCESS_STATS_H_

#include <cstdint>

namespace countersign::server {

// Bytes; 0 where /proc is not mounted.
uint64_t ResidentBytes();
uint64_t OpenFileDescriptors();

// Gives free heap pages back to the kernel when there are enough of them to be worth the call.
void TrimHeap();

// Drops the mappings of program text and constants: they come back from the page cache as they are
// used. After a start or a rotation most of what is resident (parsing, key generation, handshakes)
// is not used for the next half hour, and some 10 MiB of an idle sidecar are that.
void DropSetUpText();

}  // namespace countersign::server

#endif  // COUNTERSIGN_PROXY_SERVER_PROCESS_STATS_H_
