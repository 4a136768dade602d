// The X.509-SVID verifier of both sides: SPIFFE X509-SVID standard, sections 4 and 5, over RFC
// 5280, section 6.
#ifndef COUNTERSIGN_API_SPIFFE_VERIFIER_H_
#define COUNTERSIGN_API_SPIFFE_VERIFIER_H_

#include <string>
#include <vector>

#include "absl/time/time.h"
#include "api/spiffe/openssl_ptr.h"
#include "api/spiffe/spiffe_id.h"
#include "api/spiffe/trust.h"

namespace countersign::spiffe {

// Why a certificate was refused. Each has a metric label and a sentence.
enum class VerifyError : uint8_t {
  kNone,
  kNoCertificate,
  kMalformed,
  kChainTooLong,
  kNoUriSan,
  kManyUriSans,
  kBadSpiffeId,
  kCaCertificate,      // cA=true
  kForbiddenKeyUsage,  // keyCertSign or cRLSign, or digitalSignature missing
  kWrongExtendedKeyUsage,
  kUnknownCriticalExtension,
  kUnknownTrustDomain,
  kExpired,
  kNotYetValid,
  kUntrustedChain,
  kDenied,
  kUnexpectedId,  // a valid SVID, but not the one that was expected
};
inline constexpr int kVerifyErrorCount = static_cast<int>(VerifyError::kUnexpectedId) + 1;

// The metric label: snake case, `many_uri_sans`.
const char* VerifyErrorLabel(VerifyError error);
// A sentence for a person: what is wrong and what to do.
const char* VerifyErrorSentence(VerifyError error);

struct PeerSvid {
  SpiffeId id;
  std::string issuer;  // DER of the Name
  std::string serial;  // big-endian
  absl::Time not_before;
  absl::Time not_after;
  std::string der;     // the leaf
  std::string digest;  // SHA-256 of `der`
  // DER of what stands between leaf and trust anchor on the path that Verify found, each the issuer
  // of the one before. Nothing else that the peer presented.
  std::vector<std::string> intermediates;
};

// At most this many certificates in a chain, leaf included.
inline constexpr int kMaxChain = 5;

// The leaf's own rules, without its chain and time. Fills `svid` on kNone. Never allocates in
// proportion to what the peer sent beyond the chain itself.
VerifyError ParseLeaf(X509* leaf, PeerSvid* svid);

// Everything: leaf rules, bundle by the leaf's trust domain, path, validity at `now`, deny list.
// `untrusted` (may be null) holds the intermediates and may contain the leaf too. Thread-safe on
// immutable inputs.
VerifyError Verify(X509* leaf, STACK_OF(X509) * untrusted, const BundleSet& bundles,
                   const DenyList& deny_list, absl::Time now, PeerSvid* svid);

}  // namespace countersign::spiffe

#endif  // COUNTERSIGN_API_SPIFFE_VERIFIER_H_
