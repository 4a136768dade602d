#include "control/server/serving_certificate.h"

#include <openssl/crypto.h>
#include <openssl/x509.h>

#include <utility>
#include <variant>

#include "absl/strings/str_cat.h"
#include "control/ca/certificates.h"

namespace countersign::control::server {
namespace {

// Independent of the mesh's policy for workloads: a restart makes a new one anyhow.
constexpr absl::Duration kTtl = absl::Hours(12);

}  // namespace

ServingCertificate::KeyPair::~KeyPair() { OPENSSL_cleanse(key_pem.data(), key_pem.size()); }

ServingCertificate::ServingCertificate(const ca::Authority& authority, std::string trust_domain)
    : authority_(authority), trust_domain_(std::move(trust_domain)) {}

std::shared_ptr<const ServingCertificate::KeyPair> ServingCertificate::current() const {
  const std::lock_guard lock(mutex_);
  return current_;
}

absl::Status ServingCertificate::Renew() {
  absl::StatusOr<spiffe::SpiffeId> id =
      spiffe::SpiffeId::Parse(absl::StrCat("spiffe://", trust_domain_, kControlPath));
  if (!id.ok()) return id.status();
  const spiffe::EvpPkeyPtr key = ca::NewP256Key();
  unsigned char* info = nullptr;
  const int length = key == nullptr ? 0 : i2d_PUBKEY(key.get(), &info);
  if (length <= 0) return absl::InternalError("OpenSSL could not make the server's key");
  const std::string public_key_info(reinterpret_cast<char*>(info), static_cast<size_t>(length));
  OPENSSL_free(info);
  auto result = authority_.Issue({*id, public_key_info, kTtl, {kControlDnsName}});
  if (const auto* refused = std::get_if<countersign::identity::Refused>(&result)) {
    return absl::UnavailableError(
        absl::StrCat("no certificate for the control plane itself: ", refused->message));
  }
  const auto& issued = std::get<ca::Authority::Issued>(result);
  auto pair = std::make_shared<KeyPair>();
  pair->key_pem = ca::KeyToPem(key.get());
  pair->chain_pem = ca::CertificateToPem(issued.leaf.der);
  for (const std::string& der : issued.issuer->chain_der()) {
    pair->chain_pem += ca::CertificateToPem(der);
  }
  for (const std::string& der : authority_.bundle().authorities_der) {
    pair->roots_pem += ca::CertificateToPem(der);
  }
  pair->not_after = issued.not_after;
  const absl::Time now = absl::Now();
  renew_at_ = now + (issued.not_after - now) / 2;
  const std::lock_guard lock(mutex_);
  current_ = std::move(pair);
  return absl::OkStatus();
}

absl::Status ServingCertificate::RenewIfDue() {
  return absl::Now() < renew_at_ ? absl::OkStatus() : Renew();
}

}  // namespace countersign::control::server
