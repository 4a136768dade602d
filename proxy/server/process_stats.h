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

// Asks the kernel to drop the pages of program text that start-up touched: they come back from the
// page cache one by one as they are used, and most (argument parsing, key generation, self-tests)
// never are.
void DropStartUpText();

}  // namespace countersign::server

#endif  // COUNTERSIGN_PROXY_SERVER_PROCESS_STATS_H_
