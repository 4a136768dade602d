// X.509-SVIDs: a certificate in DER, taken apart by the leaf's rules and verified against no
// bundle.
#include <openssl/err.h>

#include <cstdint>
#include <cstdlib>

#include "api/spiffe/verifier.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace countersign::spiffe;  // NOLINT: one function
  static const std::shared_ptr<const BundleSet>* const kEmpty =
      new std::shared_ptr<const BundleSet>(*BundleSet::Create(1, {{"cluster.local", {}}}));
  const unsigned char* cursor = data;
  X509Ptr leaf(d2i_X509(nullptr, &cursor, static_cast<long>(size)));
  ERR_clear_error();
  if (leaf == nullptr) return 0;
  PeerSvid svid;
  if (ParseLeaf(leaf.get(), &svid) == VerifyError::kNone) {
    if (svid.id.path().empty() || svid.digest.size() != 32 || svid.serial.size() > 20) {
      std::abort();
    }
  }
  // Without an authority nothing may pass.
  if (Verify(leaf.get(), nullptr, **kEmpty, DenyList(), absl::Now(), &svid) == VerifyError::kNone) {
    std::abort();
  }
  return 0;
}
