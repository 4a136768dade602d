#include "proxy/tls/peer_verifier.h"

#include <openssl/sha.h>

#include <algorithm>
#include <ctime>
#include <utility>

namespace countersign::tls {
namespace {

using spiffe::VerifyError;

absl::Time ToTime(const ASN1_TIME* time, absl::Time otherwise) {
  std::tm tm{};
  if (ASN1_TIME_to_tm(time, &tm) != 1) return otherwise;
  return absl::FromTimeT(timegm(&tm));
}

// False when a digest cannot be made: the chain is then verified in full.
bool ChainDigest(X509* leaf, STACK_OF(X509) * untrusted, std::string* out) {
  uint8_t digests[(spiffe::kMaxChain + 1) * SHA256_DIGEST_LENGTH];
  size_t n = 0;
  unsigned length;
  if (X509_digest(leaf, EVP_sha256(), digests, &length) != 1) return false;
  n += length;
  const int count = untrusted == nullptr ? 0 : sk_X509_num(untrusted);
  if (count > spiffe::kMaxChain) return false;
  for (int i = 0; i < count; ++i) {
    if (X509_digest(sk_X509_value(untrusted, i), EVP_sha256(), digests + n, &length) != 1) {
      return false;
    }
    n += length;
  }
  out->resize(SHA256_DIGEST_LENGTH);
  SHA256(digests, n, reinterpret_cast<uint8_t*>(out->data()));
  return true;
}

}  // namespace

VerifyError PeerVerifier::Verify(X509* leaf, STACK_OF(X509) * untrusted,
                                 const std::shared_ptr<const spiffe::BundleSet>& bundles,
                                 const std::shared_ptr<const spiffe::DenyList>& deny_list,
                                 absl::Time now, std::shared_ptr<const spiffe::PeerSvid>* svid) {
  if (leaf == nullptr) return VerifyError::kNoCertificate;
  if (bundles_ != bundles || deny_list_ != deny_list) {
    verified_.clear();
    bundles_ = bundles;
    deny_list_ = deny_list;
  }
  std::string key;
  const bool has_key = ChainDigest(leaf, untrusted, &key);
  if (has_key) {
    const auto it = verified_.find(key);
    if (it != verified_.end()) {
      if (now >= it->second.not_before && now < it->second.not_after) {
        ++hits_;
        *svid = it->second.svid;
        return VerifyError::kNone;
      }
      verified_.erase(it);
    }
  }
  auto parsed = std::make_shared<spiffe::PeerSvid>();
  const VerifyError error =
      spiffe::Verify(leaf, untrusted, *bundles, *deny_list, now, parsed.get());
  // Kept on a refusal too: the log names whom it was.
  *svid = parsed;
  if (error != VerifyError::kNone || !has_key) return error;
  Entry entry{parsed, parsed->not_before, parsed->not_after};
  for (int i = 0; untrusted != nullptr && i < sk_X509_num(untrusted); ++i) {
    X509* certificate = sk_X509_value(untrusted, i);
    entry.not_before = std::max(entry.not_before, ToTime(X509_get0_notBefore(certificate), now));
    entry.not_after = std::min(entry.not_after, ToTime(X509_get0_notAfter(certificate), now));
  }
  if (verified_.size() >= kMaxEntries) verified_.clear();
  verified_.emplace(std::move(key), std::move(entry));
  return error;
}

}  // namespace countersign::tls
