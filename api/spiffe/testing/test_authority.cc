#include "api/spiffe/testing/test_authority.h"

#include <openssl/ec.h>
#include <openssl/pem.h>
#include <openssl/rand.h>

#include <cstdlib>

namespace countersign::spiffe::testing {
namespace {

void Require(bool condition) {
  if (!condition) std::abort();
}

void AddExtension(X509* certificate, int nid, void* value, bool critical) {
  Require(X509_add1_ext_i2d(certificate, nid, value, critical ? 1 : 0, X509V3_ADD_DEFAULT) == 1);
}

void AddName(GENERAL_NAMES* names, int type, const std::string& value) {
  GENERAL_NAME* name = GENERAL_NAME_new();
  ASN1_IA5STRING* text = ASN1_IA5STRING_new();
  Require(ASN1_STRING_set(text, value.data(), static_cast<int>(value.size())) == 1);
  GENERAL_NAME_set0_value(name, type, text);
  sk_GENERAL_NAME_push(names, name);
}

void AddBasicConstraints(X509* certificate, bool is_ca, int path_length) {
  BASIC_CONSTRAINTS* constraints = BASIC_CONSTRAINTS_new();
  constraints->ca = is_ca ? 0xff : 0;
  if (path_length >= 0) {
    constraints->pathlen = ASN1_INTEGER_new();
    ASN1_INTEGER_set(constraints->pathlen, path_length);
  }
  AddExtension(certificate, NID_basic_constraints, constraints, true);
  BASIC_CONSTRAINTS_free(constraints);
}

void AddKeyUsage(X509* certificate, int usage, bool critical) {
  if (usage == 0) return;
  ASN1_BIT_STRING* bits = ASN1_BIT_STRING_new();
  // KU_DIGITAL_SIGNATURE is bit 0 of the BIT STRING, 0x80 of its first byte.
  for (int bit = 0; bit < 8; ++bit) {
    if ((usage & (0x80 >> bit)) != 0) ASN1_BIT_STRING_set_bit(bits, bit, 1);
  }
  AddExtension(certificate, NID_key_usage, bits, critical);
  ASN1_BIT_STRING_free(bits);
}

void AddNames(X509* certificate, const LeafOptions& options) {
  GENERAL_NAMES* names = sk_GENERAL_NAME_new_null();
  for (const std::string& uri : options.uris) AddName(names, GEN_URI, uri);
  for (const std::string& dns : options.dns_names) AddName(names, GEN_DNS, dns);
  for (const std::string& email : options.emails) AddName(names, GEN_EMAIL, email);
  if (!options.other_name.empty()) {
    GENERAL_NAME* name = GENERAL_NAME_new();
    ASN1_TYPE* value = ASN1_TYPE_new();
    ASN1_UTF8STRING* text = ASN1_UTF8STRING_new();
    ASN1_STRING_set(text, options.other_name.data(), static_cast<int>(options.other_name.size()));
    ASN1_TYPE_set(value, V_ASN1_UTF8STRING, text);
    GENERAL_NAME_set0_othername(name, OBJ_txt2obj("1.3.6.1.4.1.99999.1", 1), value);
    sk_GENERAL_NAME_push(names, name);
  }
  if (sk_GENERAL_NAME_num(names) > 0) {
    AddExtension(certificate, NID_subject_alt_name, names, options.san_critical);
  }
  GENERAL_NAMES_free(names);
}

X509Ptr NewCertificate(absl::Time not_before, absl::Time not_after, EVP_PKEY* key,
                       const X509_NAME* issuer, const std::string& common_name) {
  X509Ptr certificate(X509_new());
  X509_set_version(certificate.get(), X509_VERSION_3);
  unsigned char serial[16];
  RAND_bytes(serial, sizeof(serial));
  serial[0] = static_cast<unsigned char>((serial[0] & 0x7f) | 0x40);
  ASN1_STRING_set(X509_get_serialNumber(certificate.get()), serial, sizeof(serial));
  ASN1_TIME_set(X509_getm_notBefore(certificate.get()), absl::ToTimeT(not_before));
  ASN1_TIME_set(X509_getm_notAfter(certificate.get()), absl::ToTimeT(not_after));
  X509_set_pubkey(certificate.get(), key);
  if (!common_name.empty()) {
    X509_NAME_add_entry_by_txt(X509_get_subject_name(certificate.get()), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(common_name.data()),
                               static_cast<int>(common_name.size()), -1, 0);
  }
  X509_set_issuer_name(certificate.get(),
                       issuer != nullptr ? issuer : X509_get_subject_name(certificate.get()));
  return certificate;
}

X509Ptr NewAuthorityCertificate(const std::string& trust_domain, const std::string& common_name,
                                const AuthorityOptions& options, EVP_PKEY* key,
                                const X509_NAME* issuer, EVP_PKEY* issuer_key) {
  X509Ptr certificate =
      NewCertificate(options.not_before, options.not_after, key, issuer, common_name);
  AddBasicConstraints(certificate.get(), options.is_ca, options.path_length);
  AddKeyUsage(certificate.get(), options.key_usage, true);
  LeafOptions names;
  names.uris = {"spiffe://" + trust_domain};
  names.san_critical = false;
  AddNames(certificate.get(), names);
  Require(X509_sign(certificate.get(), issuer_key, EVP_sha256()) > 0);
  return certificate;
}

std::string TakeBio(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return std::string(data, static_cast<size_t>(size));
}

}  // namespace

EvpPkeyPtr NewKey() { return EvpPkeyPtr(EVP_EC_gen("P-256")); }

std::string KeyToPem(EVP_PKEY* key) {
  BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_PrivateKey(bio.get(), key, nullptr, nullptr, 0, nullptr, nullptr);
  return TakeBio(bio.get());
}

std::string CertificateToPem(X509* certificate) {
  BioPtr bio(BIO_new(BIO_s_mem()));
  PEM_write_bio_X509(bio.get(), certificate);
  return TakeBio(bio.get());
}

std::string CertificateToDer(X509* certificate) {
  unsigned char* der = nullptr;
  const int length = i2d_X509(certificate, &der);
  Require(length > 0);
  std::string result(reinterpret_cast<char*>(der), static_cast<size_t>(length));
  OPENSSL_free(der);
  return result;
}

X509Ptr CertificateFromDer(absl::string_view der) {
  const auto* cursor = reinterpret_cast<const unsigned char*>(der.data());
  return X509Ptr(d2i_X509(nullptr, &cursor, static_cast<long>(der.size())));
}

TestAuthority::TestAuthority(const std::string& trust_domain, const AuthorityOptions& options)
    : trust_domain_(trust_domain), key_(NewKey()) {
  certificate_ = NewAuthorityCertificate(trust_domain, trust_domain + " test root", options,
                                         key_.get(), nullptr, key_.get());
  root_der_ = CertificateToDer(certificate_.get());
}

TestAuthority TestAuthority::Intermediate(const AuthorityOptions& options) const {
  TestAuthority intermediate;
  intermediate.trust_domain_ = trust_domain_;
  intermediate.key_ = NewKey();
  const std::string name =
      trust_domain_ + " test intermediate " + std::to_string(chain_der_.size() + 1);
  intermediate.certificate_ =
      NewAuthorityCertificate(trust_domain_, name, options, intermediate.key_.get(),
                              X509_get_subject_name(certificate_.get()), key_.get());
  intermediate.root_der_ = root_der_;
  intermediate.chain_der_ = {CertificateToDer(intermediate.certificate_.get())};
  intermediate.chain_der_.insert(intermediate.chain_der_.end(), chain_der_.begin(),
                                 chain_der_.end());
  return intermediate;
}

IssuedLeaf TestAuthority::Issue(const std::string& spiffe_id) const {
  LeafOptions options;
  options.uris = {spiffe_id};
  return Issue(options);
}

IssuedLeaf TestAuthority::Issue(const LeafOptions& options) const {
  IssuedLeaf leaf;
  if (options.key != nullptr) {
    EVP_PKEY_up_ref(options.key);
    leaf.key.reset(options.key);
  } else {
    leaf.key = NewKey();
  }
  leaf.certificate = NewCertificate(options.not_before, options.not_after, leaf.key.get(),
                                    X509_get_subject_name(certificate_.get()), options.common_name);
  X509* certificate = leaf.certificate.get();
  AddBasicConstraints(certificate, options.is_ca, -1);
  AddKeyUsage(certificate, options.key_usage, options.key_usage_critical);
  if (!options.extended_key_usage.empty()) {
    EXTENDED_KEY_USAGE* usage = sk_ASN1_OBJECT_new_null();
    for (int nid : options.extended_key_usage) sk_ASN1_OBJECT_push(usage, OBJ_nid2obj(nid));
    AddExtension(certificate, NID_ext_key_usage, usage, false);
    sk_ASN1_OBJECT_pop_free(usage, ASN1_OBJECT_free);
  }
  AddNames(certificate, options);
  if (options.unknown_critical_extension) {
    ASN1_OBJECT* oid = OBJ_txt2obj("1.3.6.1.4.1.99999.2", 1);
    ASN1_OCTET_STRING* value = ASN1_OCTET_STRING_new();
    ASN1_OCTET_STRING_set(value, reinterpret_cast<const unsigned char*>("\x05\x00"), 2);
    X509_EXTENSION* extension = X509_EXTENSION_create_by_OBJ(nullptr, oid, 1, value);
    X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    ASN1_OCTET_STRING_free(value);
    ASN1_OBJECT_free(oid);
  }
  Require(X509_sign(certificate, key_.get(), EVP_sha256()) > 0);

  leaf.chain_der = {CertificateToDer(certificate)};
  leaf.chain_der.insert(leaf.chain_der.end(), chain_der_.begin(), chain_der_.end());
  for (const std::string& der : leaf.chain_der) {
    leaf.chain_pem += CertificateToPem(CertificateFromDer(der).get());
  }
  leaf.key_pem = KeyToPem(leaf.key.get());
  return leaf;
}

std::string TestAuthority::root_pem() const {
  return CertificateToPem(CertificateFromDer(root_der_).get());
}

std::shared_ptr<const BundleSet> TestAuthority::bundles(uint64_t epoch) const {
  auto set = BundleSet::Create(epoch, {bundle()});
  Require(set.ok());
  return *std::move(set);
}

}  // namespace countersign::spiffe::testing
