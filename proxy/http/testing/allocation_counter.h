// Counts what a program asks of malloc, operator new among it.
#ifndef COUNTERSIGN_PROXY_HTTP_TESTING_ALLOCATION_COUNTER_H_
#define COUNTERSIGN_PROXY_HTTP_TESTING_ALLOCATION_COUNTER_H_

#include <cstdint>

namespace countersign::http::testing {

// False under sanitizers, whose malloc is theirs: then nothing is counted.
bool CanCountAllocations();
// By all threads, since the program began.
uint64_t Allocations();

}  // namespace countersign::http::testing

#endif  // COUNTERSIGN_PROXY_HTTP_TESTING_ALLOCATION_COUNTER_H_
