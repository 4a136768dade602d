// Certificate requests, made before the clock runs, so that a load of ten thousand proxies costs
// the load generator nothing but messages.
#ifndef COUNTERSIGN_TESTS_BENCH_IDENTITY_CSR_H_
#define COUNTERSIGN_TESTS_BENCH_IDENTITY_CSR_H_

#include <string>

namespace countersign::bench {

// A PKCS#10 request in DER, with an empty subject and a new ECDSA P-256 key that is thrown away.
std::string MakeCsr();

}  // namespace countersign::bench

#endif  // COUNTERSIGN_TESTS_BENCH_IDENTITY_CSR_H_
