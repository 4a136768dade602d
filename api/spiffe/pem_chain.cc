#include "api/spiffe/pem_chain.h"

#include <openssl/err.h>
#include <openssl/pem.h>

namespace countersign::spiffe {
namespace {

// OpenSSL's own limit for a peer's chain (SSL_CTX_set_max_cert_list), as PEM.
constexpr size_t kMaxPemBytes = 140 * 1024;

X509Ptr ReadCertificate(BIO* bio) {
  // The callback keeps OpenSSL from asking the terminal for a password.
  const auto no_password = [](char*, int, int, void*) { return -1; };
  return X509Ptr(PEM_read_bio_X509(bio, nullptr, no_password, nullptr));
}

}  // namespace

VerifyError VerifyPem(absl::string_view leaf_pem, absl::string_view chain_pem,
                      const BundleSet& bundles, const DenyList& deny_list, absl::Time now,
                      PeerSvid* svid) {
  if (leaf_pem.empty()) return VerifyError::kNoCertificate;
  if (leaf_pem.size() > kMaxPemBytes || chain_pem.size() > kMaxPemBytes) {
    return VerifyError::kChainTooLong;
  }
  BioPtr leaf_bio(BIO_new_mem_buf(leaf_pem.data(), static_cast<int>(leaf_pem.size())));
  const X509Ptr leaf = ReadCertificate(leaf_bio.get());
  ERR_clear_error();
  if (leaf == nullptr) return VerifyError::kMalformed;

  X509StackPtr others(sk_X509_new_null());
  BioPtr chain_bio(BIO_new_mem_buf(chain_pem.data(), static_cast<int>(chain_pem.size())));
  while (true) {
    X509Ptr certificate = ReadCertificate(chain_bio.get());
    if (certificate == nullptr) break;
    if (X509_cmp(certificate.get(), leaf.get()) == 0) continue;
    if (sk_X509_num(others.get()) == kMaxChain) {
      ERR_clear_error();
      return VerifyError::kChainTooLong;
    }
    sk_X509_push(others.get(), certificate.release());
  }
  ERR_clear_error();
  return Verify(leaf.get(), others.get(), bundles, deny_list, now, svid);
}

}  // namespace countersign::spiffe
