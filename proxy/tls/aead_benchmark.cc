// What sealing a record costs, accelerated and by OpenSSL.
#include <benchmark/benchmark.h>

#include <vector>

#include "proxy/tls/aead.h"

namespace countersign::tls {
namespace {

void Seal(benchmark::State& state) {
  const uint8_t key[32] = {1};
  const uint8_t nonce[kNonceBytes] = {2};
  const uint8_t aad[5] = {23, 3, 3, 0, 0};
  const uint8_t type = 23;
  Aead aead;
  if (!aead.Init(AeadAlgorithm::kAes128Gcm, key, true, state.range(1) != 0)) {
    return state.SkipWithError("no cipher");
  }
  const size_t n = static_cast<size_t>(state.range(0));
  std::vector<uint8_t> in(n), out(n + 1 + kTagBytes);
  for (auto _ : state) {
    aead.Begin(nonce, aad, sizeof aad);
    aead.Update(out.data(), in.data(), n);
    aead.Update(out.data() + n, &type, 1);
    aead.FinishSeal(out.data() + n + 1);
  }
  state.SetBytesProcessed(static_cast<int64_t>(state.iterations() * n));
}
BENCHMARK(Seal)->ArgNames({"bytes", "accelerated"})->ArgsProduct({{64, 256, 1024, 16384}, {0, 1}});

}  // namespace
}  // namespace countersign::tls

BENCHMARK_MAIN();
