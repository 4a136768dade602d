// What the pieces of an identity cost, each alone: verifying a peer, taking a CSR in, issuing a
// leaf. The floor of the last two is OpenSSL's own ECDSA P-256: one verify, one sign.
#include <benchmark/benchmark.h>
#include <openssl/evp.h>

#include <string>
#include <variant>

#include "api/spiffe/testing/test_authority.h"
#include "api/spiffe/verifier.h"
#include "control/ca/certificates.h"
#include "control/ca/csr.h"
#include "control/ca/ecdsa.h"
#include "control/ca/leaf_issuer.h"
#include "tests/bench/identity/csr.h"

namespace countersign::bench {
namespace {

namespace ca = control::ca;
using spiffe::testing::TestAuthority;

constexpr char kWeb[] = "spiffe://cluster.local/ns/shop/sa/web";

spiffe::SpiffeId Web() { return spiffe::SpiffeId::Parse(kWeb).value(); }

// The root's name and key are the same for the whole program.
const TestAuthority& Root() {
  static const TestAuthority* const root = new TestAuthority("cluster.local");
  return *root;
}

void VerifySvid(benchmark::State& state) {
  const auto intermediate = Root().Intermediate();
  const auto issued = intermediate.Issue(kWeb);
  const auto bundles = Root().bundles();
  const spiffe::DenyList deny_list;
  STACK_OF(X509)* untrusted = sk_X509_new_null();
  const auto chained = spiffe::testing::CertificateFromDer(issued.chain_der[1]);
  sk_X509_push(untrusted, chained.get());
  for (auto _ : state) {
    // Parsed anew each time: OpenSSL keeps what it has found out about a certificate.
    const auto leaf = spiffe::testing::CertificateFromDer(issued.chain_der[0]);
    spiffe::PeerSvid svid;
    if (spiffe::Verify(leaf.get(), untrusted, *bundles, deny_list, absl::Now(), &svid) !=
        spiffe::VerifyError::kNone) {
      state.SkipWithError("a valid SVID was refused");
      break;
    }
  }
  sk_X509_free(untrusted);
}
BENCHMARK(VerifySvid)->Unit(benchmark::kMicrosecond);

void CheckCsr(benchmark::State& state) {
  const std::string der = MakeCsr();
  const auto id = Web();
  for (auto _ : state) {
    const auto csr = ca::CheckCsr(der, id);
    if (!std::holds_alternative<ca::Csr>(csr)) {
      state.SkipWithError("a valid CSR was refused");
      break;
    }
  }
}
BENCHMARK(CheckCsr)->Unit(benchmark::kMicrosecond);

void IssueLeaf(benchmark::State& state) {
  const auto key = ca::NewP256Key();
  const ca::CaTemplate authority{.trust_domain = "cluster.local",
                                 .title = "bench",
                                 .path_length = 0,
                                 .not_before = absl::Now() - absl::Minutes(1),
                                 .not_after = absl::Now() + absl::Hours(1)};
  const auto certificate = ca::MakeCaCertificate(authority, key.get(), nullptr, key.get());
  if (!certificate.ok()) return state.SkipWithError(certificate.status().ToString().c_str());
  const auto issuer = ca::LeafIssuer::Create({*certificate}, key.get());
  const std::string der = MakeCsr();
  const auto csr = ca::CheckCsr(der, Web());
  if (!issuer.ok()) return state.SkipWithError(issuer.status().ToString().c_str());
  if (!std::holds_alternative<ca::Csr>(csr)) return state.SkipWithError("a valid CSR was refused");
  ca::LeafRequest request;
  request.id = Web();
  request.public_key_info = std::get<ca::Csr>(csr).public_key_info;
  request.not_before = absl::Now() - absl::Seconds(30);
  request.not_after = absl::Now() + absl::Minutes(30);
  for (auto _ : state) {
    if (!(*issuer)->Issue(request).ok()) {
      state.SkipWithError("a leaf was not issued");
      break;
    }
  }
}
BENCHMARK(IssueLeaf)->Unit(benchmark::kMicrosecond);

void OpenSslSign(benchmark::State& state) {
  const auto key = spiffe::testing::NewKey();
  const auto ec_key = ca::P256KeyOf(key.get());
  const std::string message(500, 'x');
  for (auto _ : state) benchmark::DoNotOptimize(ca::SignEcdsaSha256(ec_key.get(), message));
}
BENCHMARK(OpenSslSign)->Unit(benchmark::kMicrosecond);

void OpenSslVerify(benchmark::State& state) {
  const auto key = spiffe::testing::NewKey();
  const auto ec_key = ca::P256KeyOf(key.get());
  const std::string message(500, 'x');
  const std::string signature = ca::SignEcdsaSha256(ec_key.get(), message);
  unsigned char point[65];
  size_t size = 0;
  EVP_PKEY_get_octet_string_param(key.get(), "pub", point, sizeof point, &size);
  const absl::string_view view(reinterpret_cast<char*>(point), size);
  for (auto _ : state) {
    benchmark::DoNotOptimize(
        ca::VerifyEcdsa(ca::Curve::kP256, view, ca::Hash::kSha256, message, signature));
  }
}
BENCHMARK(OpenSslVerify)->Unit(benchmark::kMicrosecond);

}  // namespace
}  // namespace countersign::bench

BENCHMARK_MAIN();
