#include "control/ca/leaf_issuer.h"

#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509v3.h>

#include <ctime>

#include "api/spiffe/der_reader.h"

namespace countersign::control::ca {
namespace {

using spiffe::DerReader;

constexpr uint8_t kUtcTime = 0x17;
constexpr uint8_t kGeneralizedTime = 0x18;
constexpr uint8_t kDnsName = 0x82;   // GeneralName, [2] IMPLICIT IA5String
constexpr uint8_t kContext3 = 0xa3;  // extensions of a TBSCertificate
constexpr size_t kSerialBytes = 16;

// [0] EXPLICIT INTEGER 2: X.509 version 3.
constexpr absl::string_view kVersion3("\xa0\x03\x02\x01\x02", 5);
// SEQUENCE { ecdsa-with-SHA256 }.
constexpr absl::string_view kEcdsaWithSha256("\x30\x0a\x06\x08\x2a\x86\x48\xce\x3d\x04\x03\x02",
                                             12);
constexpr absl::string_view kEmptySequence("\x30\x00", 2);
// basicConstraints, critical, cA=false: an empty sequence.
constexpr absl::string_view kNoCa("\x30\x0c\x06\x03\x55\x1d\x13\x01\x01\xff\x04\x02\x30\x00", 14);
// keyUsage, critical, digitalSignature alone.
constexpr absl::string_view kDigitalSignature(
    "\x30\x0e\x06\x03\x55\x1d\x0f\x01\x01\xff\x04\x04\x03\x02\x07\x80", 16);
// extKeyUsage: serverAuth, clientAuth.
constexpr absl::string_view kServerAndClient(
    "\x30\x1d\x06\x03\x55\x1d\x25\x04\x16\x30\x14\x06\x08\x2b\x06\x01\x05\x05\x07\x03\x01\x06\x08"
    "\x2b\x06\x01\x05\x05\x07\x03\x02",
    31);
// subjectAltName, critical, up to its value.
constexpr absl::string_view kCriticalSubjectAltName("\x06\x03\x55\x1d\x11\x01\x01\xff", 8);
constexpr absl::string_view kAuthorityKeyIdentifier("\x06\x03\x55\x1d\x23", 5);

void AppendHeader(uint8_t tag, size_t length, std::string* out) {
  out->push_back(static_cast<char>(tag));
  if (length < 0x80) {
    out->push_back(static_cast<char>(length));
  } else if (length < 0x100) {
    out->push_back(static_cast<char>(0x81));
    out->push_back(static_cast<char>(length));
  } else {
    out->push_back(static_cast<char>(0x82));
    out->push_back(static_cast<char>(length >> 8));
    out->push_back(static_cast<char>(length & 0xff));
  }
}

void AppendElement(uint8_t tag, absl::string_view content, std::string* out) {
  AppendHeader(tag, content.size(), out);
  out->append(content.data(), content.size());
}

std::string Element(uint8_t tag, absl::string_view content) {
  std::string out;
  out.reserve(content.size() + 4);
  AppendElement(tag, content, &out);
  return out;
}

void Append(absl::string_view bytes, std::string* out) { out->append(bytes.data(), bytes.size()); }

// RFC 5280, 4.1.2.5: UTCTime through 2049, GeneralizedTime from 2050 on.
void AppendTime(absl::Time time, std::string* out) {
  const std::time_t seconds = absl::ToTimeT(time);
  std::tm tm = {};
  gmtime_r(&seconds, &tm);
  char text[20];
  const bool utc_time = tm.tm_year < 150;
  const size_t length =
      strftime(text, sizeof(text), utc_time ? "%y%m%d%H%M%SZ" : "%Y%m%d%H%M%SZ", &tm);
  AppendElement(utc_time ? kUtcTime : kGeneralizedTime, {text, length}, out);
}

std::string Names(const LeafRequest& request) {
  std::string names = Element(spiffe::kDerUri, request.id.ToString());
  for (const std::string& dns : request.dns_names) AppendElement(kDnsName, dns, &names);
  return names;
}

}  // namespace

absl::StatusOr<std::shared_ptr<const LeafIssuer>> LeafIssuer::Create(
    std::vector<std::string> chain_der, EVP_PKEY* key) {
  if (chain_der.empty()) return absl::InvalidArgumentError("an issuer needs its certificate");
  const auto* cursor = reinterpret_cast<const unsigned char*>(chain_der[0].data());
  spiffe::X509Ptr certificate(d2i_X509(nullptr, &cursor, static_cast<long>(chain_der[0].size())));
  if (certificate == nullptr || X509_check_ca(certificate.get()) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError("the issuer's certificate is no CA certificate");
  }
  if (X509_check_private_key(certificate.get(), key) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError("the issuer's key does not belong to its certificate");
  }
  std::shared_ptr<LeafIssuer> issuer(new LeafIssuer);
  issuer->key_ = P256KeyOf(key);
  if (issuer->key_ == nullptr) {
    return absl::InvalidArgumentError("the issuer's key is not ECDSA on P-256");
  }
  const unsigned char* name = nullptr;
  size_t name_length = 0;
  std::tm not_before = {};
  std::tm not_after = {};
  const ASN1_OCTET_STRING* key_id = X509_get0_subject_key_id(certificate.get());
  if (key_id == nullptr ||
      X509_NAME_get0_der(X509_get_subject_name(certificate.get()), &name, &name_length) != 1 ||
      ASN1_TIME_to_tm(X509_get0_notBefore(certificate.get()), &not_before) != 1 ||
      ASN1_TIME_to_tm(X509_get0_notAfter(certificate.get()), &not_after) != 1) {
    ERR_clear_error();
    return absl::InvalidArgumentError("the issuer's certificate has no key identifier or times");
  }
  issuer->issuer_name_.assign(reinterpret_cast<const char*>(name), name_length);
  issuer->not_before_ = absl::FromTM(not_before, absl::UTCTimeZone());
  issuer->not_after_ = absl::FromTM(not_after, absl::UTCTimeZone());
  issuer->chain_der_ = std::move(chain_der);

  // AuthorityKeyIdentifier ::= SEQUENCE { keyIdentifier [0] IMPLICIT OCTET STRING }.
  const absl::string_view id(reinterpret_cast<const char*>(ASN1_STRING_get0_data(key_id)),
                             static_cast<size_t>(ASN1_STRING_length(key_id)));
  std::string key_identifier(kAuthorityKeyIdentifier);
  AppendElement(spiffe::kDerOctetString, Element(spiffe::kDerSequence, Element(0x80, id)),
                &key_identifier);
  Append(kNoCa, &issuer->extensions_);
  Append(kDigitalSignature, &issuer->extensions_);
  Append(kServerAndClient, &issuer->extensions_);
  AppendElement(spiffe::kDerSequence, key_identifier, &issuer->extensions_);
  return std::shared_ptr<const LeafIssuer>(std::move(issuer));
}

absl::StatusOr<SignedLeaf> LeafIssuer::Issue(const LeafRequest& request) const {
  unsigned char serial[kSerialBytes];
  if (RAND_bytes(serial, sizeof(serial)) != 1) {
    ERR_clear_error();
    return absl::InternalError("the random number generator failed");
  }
  std::string tbs;
  tbs.reserve(640);
  Append(kVersion3, &tbs);
  // A leading zero octet keeps all 128 bits random and the INTEGER positive; the first octet must
  // not be zero, or the encoding would not be minimal.
  if (serial[0] == 0) serial[0] = 1;
  const bool pad = serial[0] >= 0x80;
  AppendHeader(spiffe::kDerInteger, kSerialBytes + (pad ? 1 : 0), &tbs);
  if (pad) tbs.push_back('\0');
  tbs.append(reinterpret_cast<const char*>(serial), sizeof(serial));
  Append(kEcdsaWithSha256, &tbs);
  Append(issuer_name_, &tbs);
  std::string scratch;
  AppendTime(request.not_before, &scratch);
  AppendTime(request.not_after, &scratch);
  AppendElement(spiffe::kDerSequence, scratch, &tbs);
  Append(kEmptySequence, &tbs);  // subject
  Append(request.public_key_info, &tbs);

  scratch.assign(kCriticalSubjectAltName.data(), kCriticalSubjectAltName.size());
  AppendElement(spiffe::kDerOctetString, Element(spiffe::kDerSequence, Names(request)), &scratch);
  const std::string extensions = extensions_ + Element(spiffe::kDerSequence, scratch);
  AppendElement(kContext3, Element(spiffe::kDerSequence, extensions), &tbs);
  if (tbs.size() > 0xffff - 256) return absl::InternalError("the certificate would be too large");

  std::string signed_parts = Element(spiffe::kDerSequence, tbs);
  const std::string signature = SignEcdsaSha256(key_.get(), signed_parts);
  if (signature.empty()) return absl::InternalError("signing failed");
  Append(kEcdsaWithSha256, &signed_parts);
  AppendHeader(spiffe::kDerBitString, signature.size() + 1, &signed_parts);
  signed_parts.push_back('\0');
  signed_parts += signature;
  SignedLeaf leaf;
  leaf.der = Element(spiffe::kDerSequence, signed_parts);
  leaf.serial.assign(reinterpret_cast<const char*>(serial), sizeof(serial));
  if (!Describes(leaf, request)) {
    return absl::InternalError("the signed certificate is not what was to be signed");
  }
  return leaf;
}

// Reads the certificate from its bytes, by their own lengths: that there is one name and that no
// content has escaped from its field is then true of what is sent, not only of what was meant.
//
// The signature itself is not verified, which would be the third public-key operation of an
// issuance and as dear as the two others (the proof of possession and the signature) together. That
// takes nothing from safety: the octets compared here are the ones that were hashed and signed, in
// the same buffer; every field of them is compared with the request or with a constant, so nothing
// else can have been signed; and a signature that came out wrong is a certificate that every peer
// refuses, never one that anybody believes. The issuer's key was held against its certificate once,
// in Create().
bool LeafIssuer::Describes(const SignedLeaf& leaf, const LeafRequest& request) const {
  DerReader outer(leaf.der);
  absl::string_view certificate, tbs, content, whole;
  if (!outer.Read(spiffe::kDerSequence, &certificate) || !outer.AtEnd()) return false;
  DerReader parts(certificate);
  if (!parts.Read(spiffe::kDerSequence, &tbs) ||
      !parts.Read(spiffe::kDerSequence, &content, &whole) || whole != kEcdsaWithSha256 ||
      !parts.Read(spiffe::kDerBitString, &content) || !parts.AtEnd()) {
    return false;
  }
  DerReader fields(tbs);
  if (!fields.Read(spiffe::kDerContext0, &content, &whole) || whole != kVersion3) return false;
  if (!fields.Read(spiffe::kDerInteger, &content)) return false;
  if (content.size() == kSerialBytes + 1 && content[0] == '\0') content.remove_prefix(1);
  if (content != absl::string_view(leaf.serial)) return false;
  std::string validity;
  AppendTime(request.not_before, &validity);
  AppendTime(request.not_after, &validity);
  if (!fields.Read(spiffe::kDerSequence, &content, &whole) || whole != kEcdsaWithSha256 ||
      !fields.Read(spiffe::kDerSequence, &content, &whole) || whole != issuer_name_ ||
      !fields.Read(spiffe::kDerSequence, &content) || content != absl::string_view(validity) ||
      !fields.Read(spiffe::kDerSequence, &content, &whole) || whole != kEmptySequence ||
      !fields.Read(spiffe::kDerSequence, &content, &whole) || whole != request.public_key_info ||
      !fields.Read(kContext3, &content) || !fields.AtEnd()) {
    return false;
  }
  DerReader wrapper(content);
  absl::string_view extensions, name;
  if (!wrapper.Read(spiffe::kDerSequence, &extensions) || !wrapper.AtEnd() ||
      extensions.substr(0, extensions_.size()) != extensions_) {
    return false;
  }
  DerReader last(extensions.substr(extensions_.size()));
  if (!last.Read(spiffe::kDerSequence, &content) || !last.AtEnd() ||
      content.substr(0, kCriticalSubjectAltName.size()) != kCriticalSubjectAltName) {
    return false;
  }
  DerReader value(content.substr(kCriticalSubjectAltName.size()));
  if (!value.Read(spiffe::kDerOctetString, &content) || !value.AtEnd()) return false;
  DerReader sequence(content);
  if (!sequence.Read(spiffe::kDerSequence, &content) || !sequence.AtEnd()) return false;
  DerReader names(content);
  if (!names.Read(spiffe::kDerUri, &name) || name != absl::string_view(request.id.ToString())) {
    return false;
  }
  for (const std::string& dns : request.dns_names) {
    if (!names.Read(kDnsName, &name) || name != absl::string_view(dns)) return false;
  }
  return names.AtEnd();
}

}  // namespace countersign::control::ca
