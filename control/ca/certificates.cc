#include "control/ca/certificates.h"

#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <ctime>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"

namespace countersign::control::ca {
namespace {

bool AddExtension(X509* certificate, X509* issuer, int nid, const std::string& value) {
  X509V3_CTX context;
  X509V3_set_ctx(&context, issuer, certificate, nullptr, nullptr, 0);
  X509_EXTENSION* extension = X509V3_EXT_conf_nid(nullptr, &context, nid, value.c_str());
  if (extension == nullptr) return false;
  const bool added = X509_add_ext(certificate, extension, -1) == 1;
  X509_EXTENSION_free(extension);
  return added;
}

bool SetName(X509_NAME* name, const char* field, const std::string& value) {
  return X509_NAME_add_entry_by_txt(name, field, MBSTRING_ASC,
                                    reinterpret_cast<const unsigned char*>(value.data()),
                                    static_cast<int>(value.size()), -1, 0) == 1;
}

std::string TakeBio(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return size <= 0 ? std::string() : std::string(data, static_cast<size_t>(size));
}

absl::Time ToTime(const ASN1_TIME* asn1) {
  std::tm tm = {};
  if (asn1 == nullptr || ASN1_TIME_to_tm(asn1, &tm) != 1) return absl::InfinitePast();
  return absl::FromTM(tm, absl::UTCTimeZone());
}

}  // namespace

spiffe::EvpPkeyPtr NewP256Key() { return spiffe::EvpPkeyPtr(EVP_EC_gen("P-256")); }

absl::StatusOr<std::string> MakeCaCertificate(const CaTemplate& options, EVP_PKEY* key,
                                              X509* issuer, EVP_PKEY* issuer_key) {
  spiffe::X509Ptr certificate(X509_new());
  unsigned char serial[16];
  if (certificate == nullptr || RAND_bytes(serial, sizeof(serial)) != 1) {
    return absl::InternalError("OpenSSL gave no certificate or no random serial");
  }
  // Positive and minimal whatever was drawn.
  serial[0] = static_cast<unsigned char>((serial[0] & 0x7f) | 0x40);
  const std::string tag =
      absl::BytesToHexString(absl::string_view(reinterpret_cast<char*>(serial) + 1, 4));
  X509* made = certificate.get();
  X509_NAME* subject = X509_get_subject_name(made);
  X509* signing = issuer != nullptr ? issuer : made;
  const bool complete =
      X509_set_version(made, X509_VERSION_3) == 1 &&
      ASN1_STRING_set(X509_get_serialNumber(made), serial, sizeof(serial)) == 1 &&
      ASN1_TIME_set(X509_getm_notBefore(made), absl::ToTimeT(options.not_before)) != nullptr &&
      ASN1_TIME_set(X509_getm_notAfter(made), absl::ToTimeT(options.not_after)) != nullptr &&
      X509_set_pubkey(made, key) == 1 && SetName(subject, "O", "Countersign") &&
      SetName(subject, "CN", absl::StrCat(options.title, " ", tag)) &&
      X509_set_issuer_name(made, X509_get_subject_name(signing)) == 1 &&
      AddExtension(made, signing, NID_basic_constraints,
                   absl::StrCat("critical,CA:TRUE,pathlen:", options.path_length)) &&
      AddExtension(made, signing, NID_key_usage, "critical,keyCertSign,cRLSign") &&
      AddExtension(made, signing, NID_subject_key_identifier, "hash") &&
      AddExtension(made, signing, NID_authority_key_identifier, "keyid:always") &&
      // X509-SVID, 4.1: an authority's ID is its trust domain's, without a path.
      AddExtension(made, signing, NID_subject_alt_name,
                   absl::StrCat("URI:spiffe://", options.trust_domain)) &&
      X509_sign(made, issuer_key, EVP_sha256()) > 0;
  unsigned char* der = nullptr;
  const int length = complete ? i2d_X509(made, &der) : 0;
  ERR_clear_error();
  if (length <= 0) return absl::InternalError("OpenSSL could not make an authority's certificate");
  std::string result(reinterpret_cast<char*>(der), static_cast<size_t>(length));
  OPENSSL_free(der);
  return result;
}

spiffe::X509Ptr ParseCertificate(absl::string_view der) {
  const auto* cursor = reinterpret_cast<const unsigned char*>(der.data());
  const unsigned char* const end = cursor + der.size();
  spiffe::X509Ptr certificate(d2i_X509(nullptr, &cursor, static_cast<long>(der.size())));
  ERR_clear_error();
  if (cursor != end) return nullptr;
  return certificate;
}

absl::Time NotBefore(const X509* certificate) { return ToTime(X509_get0_notBefore(certificate)); }
absl::Time NotAfter(const X509* certificate) { return ToTime(X509_get0_notAfter(certificate)); }

std::string KeyToPem(EVP_PKEY* key) {
  spiffe::BioPtr bio(BIO_new(BIO_s_secmem()));
  PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
  return TakeBio(bio.get());
}

std::string CertificateToPem(absl::string_view der) {
  const spiffe::X509Ptr certificate = ParseCertificate(der);
  if (certificate == nullptr) return {};
  spiffe::BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), certificate.get());
  return TakeBio(bio.get());
}

PemContent ParsePem(absl::string_view pem) {
  PemContent content;
  spiffe::BioPtr key_bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  // Without a callback OpenSSL would ask the terminal for the password of an encrypted key.
  const auto no_password = [](char*, int, int, void*) { return -1; };
  content.key.reset(PEM_read_bio_PrivateKey(key_bio.get(), nullptr, no_password, nullptr));
  spiffe::BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  while (true) {
    const spiffe::X509Ptr certificate(PEM_read_bio_X509(bio.get(), nullptr, no_password, nullptr));
    if (certificate == nullptr) break;
    unsigned char* der = nullptr;
    const int length = i2d_X509(certificate.get(), &der);
    if (length <= 0) break;
    content.certificates_der.emplace_back(reinterpret_cast<char*>(der),
                                          static_cast<size_t>(length));
    OPENSSL_free(der);
  }
  ERR_clear_error();
  return content;
}

}  // namespace countersign::control::ca
