#include "control/ca/csr.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "api/spiffe/der_reader.h"
#include "control/ca/ecdsa.h"

namespace countersign::control::ca {
namespace {

using countersign::identity::Refused;
using countersign::identity::v1::Refusal;
using spiffe::DerReader;
using spiffe::kDerBitString;
using spiffe::kDerBoolean;
using spiffe::kDerContext0;
using spiffe::kDerInteger;
using spiffe::kDerOctetString;
using spiffe::kDerOid;
using spiffe::kDerSequence;
using spiffe::kDerSet;
using spiffe::kDerUri;

// Object identifiers, the content of their DER.
constexpr absl::string_view kEcPublicKey("\x2a\x86\x48\xce\x3d\x02\x01", 7);
constexpr absl::string_view kPrime256v1("\x2a\x86\x48\xce\x3d\x03\x01\x07", 8);
constexpr absl::string_view kSecp384r1("\x2b\x81\x04\x00\x22", 5);
constexpr absl::string_view kEcdsaWithSha256("\x2a\x86\x48\xce\x3d\x04\x03\x02", 8);
constexpr absl::string_view kEcdsaWithSha384("\x2a\x86\x48\xce\x3d\x04\x03\x03", 8);
constexpr absl::string_view kEcdsaWithSha512("\x2a\x86\x48\xce\x3d\x04\x03\x04", 8);
// PKCS#9 extensionRequest, RFC 2985, 5.4.2.
constexpr absl::string_view kExtensionRequest("\x2a\x86\x48\x86\xf7\x0d\x01\x09\x0e", 9);
constexpr absl::string_view kSubjectAltName("\x55\x1d\x11", 3);
constexpr absl::string_view kBasicConstraints("\x55\x1d\x13", 3);
constexpr absl::string_view kKeyUsage("\x55\x1d\x0f", 3);
constexpr absl::string_view kExtendedKeyUsage("\x55\x1d\x25", 3);
constexpr absl::string_view kServerAuth("\x2b\x06\x01\x05\x05\x07\x03\x01", 8);
constexpr absl::string_view kClientAuth("\x2b\x06\x01\x05\x05\x07\x03\x02", 8);

struct Verdict {
  bool ok = true;
  Refused refused;
};

Verdict Refuse(countersign::identity::RefusalReason reason, std::string message) {
  return {false, {reason, std::move(message)}};
}
Verdict Malformed(absl::string_view what) {
  return Refuse(Refusal::CSR_MALFORMED,
                absl::StrCat("the certificate signing request is no PKCS#10 in DER: ", what));
}

Verdict ParsePublicKey(absl::string_view info, Csr* csr) {
  DerReader outer(info);
  absl::string_view algorithm, oid, bits;
  if (!outer.Read(kDerSequence, &algorithm) || !outer.Read(kDerBitString, &bits) ||
      !outer.AtEnd()) {
    return Malformed("its public key cannot be read");
  }
  DerReader reader(algorithm);
  absl::string_view curve;
  if (!reader.Read(kDerOid, &oid)) return Malformed("its public key names no algorithm");
  // Explicit curve parameters, which have been used to forge keys (CVE-2020-0601), are no OID.
  if (oid != kEcPublicKey || !reader.Read(kDerOid, &curve) || !reader.AtEnd() ||
      (curve != kPrime256v1 && curve != kSecp384r1)) {
    return Refuse(Refusal::CSR_WEAK_KEY,
                  "the key must be ECDSA on the named curve P-256 or P-384; make a new one");
  }
  csr->curve = curve == kPrime256v1 ? Curve::kP256 : Curve::kP384;
  const size_t point_bytes = csr->curve == Curve::kP256 ? 65 : 97;
  // One octet of unused bits, which must be 0, and the point; 4 marks an uncompressed one.
  if (bits.size() != point_bytes + 1 || bits[0] != 0 || bits[1] != 4) {
    return Refuse(Refusal::CSR_WEAK_KEY, "the public key must be one uncompressed point");
  }
  csr->point = bits.substr(1);
  return {};
}

Verdict CheckNames(absl::string_view value, const spiffe::SpiffeId& id) {
  DerReader outer(value);
  absl::string_view names;
  if (!outer.Read(kDerSequence, &names) || !outer.AtEnd()) {
    return Malformed("its subjectAltName cannot be read");
  }
  DerReader reader(names);
  int count = 0;
  while (!reader.AtEnd()) {
    uint8_t tag;
    absl::string_view name;
    if (!reader.ReadAny(&tag, &name)) return Malformed("its subjectAltName cannot be read");
    // The only name that a request may have is the one that the attestation gives anyhow.
    if (++count > 1 || tag != kDerUri || name != absl::string_view(id.ToString())) {
      return Refuse(Refusal::CSR_FORBIDDEN_SAN,
                    absl::StrCat("the request asks for a name other than ", id.ToString(),
                                 ", which is what the attestation proves; leave names out"));
    }
  }
  return {};
}

Verdict ForbiddenExtension(absl::string_view what) {
  return Refuse(Refusal::CSR_FORBIDDEN_EXTENSION,
                absl::StrCat("the request asks for ", what,
                             ", which no workload's certificate has; leave extensions out"));
}

Verdict CheckBasicConstraints(absl::string_view value) {
  DerReader outer(value);
  absl::string_view constraints;
  if (!outer.Read(kDerSequence, &constraints) || !outer.AtEnd()) {
    return Malformed("its basicConstraints cannot be read");
  }
  if (!constraints.empty()) {
    // cA=FALSE is the default and so has no encoding in DER, yet some libraries write it.
    if (constraints == absl::string_view("\x01\x01\x00", 3)) return {};
    return ForbiddenExtension("a CA certificate or a path length");
  }
  return {};
}

Verdict CheckKeyUsage(absl::string_view value) {
  DerReader reader(value);
  absl::string_view bits;
  if (!reader.Read(kDerBitString, &bits) || !reader.AtEnd() || bits.empty()) {
    return Malformed("its keyUsage cannot be read");
  }
  for (size_t i = 1; i < bits.size(); ++i) {
    // digitalSignature is the first bit.
    const auto allowed = static_cast<uint8_t>(i == 1 ? 0x80 : 0);
    if ((static_cast<uint8_t>(bits[i]) & ~allowed) != 0) {
      return ForbiddenExtension("a key usage other than digitalSignature");
    }
  }
  return {};
}

Verdict CheckExtendedKeyUsage(absl::string_view value) {
  DerReader outer(value);
  absl::string_view usages;
  if (!outer.Read(kDerSequence, &usages) || !outer.AtEnd()) {
    return Malformed("its extKeyUsage cannot be read");
  }
  DerReader reader(usages);
  while (!reader.AtEnd()) {
    absl::string_view usage;
    if (!reader.Read(kDerOid, &usage)) return Malformed("its extKeyUsage cannot be read");
    if (usage != kServerAuth && usage != kClientAuth) {
      return ForbiddenExtension("an extended key usage other than serverAuth and clientAuth");
    }
  }
  return {};
}

Verdict CheckExtensions(absl::string_view extensions, const spiffe::SpiffeId& id) {
  DerReader reader(extensions);
  unsigned seen = 0;
  while (!reader.AtEnd()) {
    absl::string_view extension, oid, critical, value;
    if (!reader.Read(kDerSequence, &extension)) return Malformed("an extension cannot be read");
    DerReader parts(extension);
    if (!parts.Read(kDerOid, &oid) ||
        (parts.PeekTag(kDerBoolean) && !parts.Read(kDerBoolean, &critical)) ||
        !parts.Read(kDerOctetString, &value) || !parts.AtEnd()) {
      return Malformed("an extension cannot be read");
    }
    Verdict verdict;
    unsigned bit = 0;
    if (oid == kSubjectAltName) {
      bit = 1;
      verdict = CheckNames(value, id);
    } else if (oid == kBasicConstraints) {
      bit = 2;
      verdict = CheckBasicConstraints(value);
    } else if (oid == kKeyUsage) {
      bit = 4;
      verdict = CheckKeyUsage(value);
    } else if (oid == kExtendedKeyUsage) {
      bit = 8;
      verdict = CheckExtendedKeyUsage(value);
    } else {
      return ForbiddenExtension("an extension of another kind");
    }
    if (!verdict.ok) return verdict;
    if ((seen & bit) != 0) {
      return Refuse(bit == 1 ? Refusal::CSR_FORBIDDEN_SAN : Refusal::CSR_FORBIDDEN_EXTENSION,
                    "the request has the same extension twice; leave extensions out");
    }
    seen |= bit;
  }
  return {};
}

Verdict CheckAttributes(absl::string_view attributes, const spiffe::SpiffeId& id) {
  DerReader reader(attributes);
  bool seen = false;
  while (!reader.AtEnd()) {
    absl::string_view attribute, oid, values, extensions;
    if (!reader.Read(kDerSequence, &attribute)) return Malformed("an attribute cannot be read");
    DerReader parts(attribute);
    if (!parts.Read(kDerOid, &oid) || !parts.Read(kDerSet, &values) || !parts.AtEnd()) {
      return Malformed("an attribute cannot be read");
    }
    if (oid != kExtensionRequest || seen) return ForbiddenExtension("an attribute of another kind");
    seen = true;
    DerReader value(values);
    if (!value.Read(kDerSequence, &extensions) || !value.AtEnd()) {
      return Malformed("its extensionRequest cannot be read");
    }
    const Verdict verdict = CheckExtensions(extensions, id);
    if (!verdict.ok) return verdict;
  }
  return {};
}

bool ParseSignatureAlgorithm(absl::string_view algorithm, Hash* hash) {
  DerReader reader(algorithm);
  absl::string_view oid;
  // RFC 5758, 3.2: ECDSA algorithms have no parameters.
  if (!reader.Read(kDerOid, &oid) || !reader.AtEnd()) return false;
  if (oid == kEcdsaWithSha256) {
    *hash = Hash::kSha256;
  } else if (oid == kEcdsaWithSha384) {
    *hash = Hash::kSha384;
  } else if (oid == kEcdsaWithSha512) {
    *hash = Hash::kSha512;
  } else {
    return false;
  }
  return true;
}

Verdict Check(absl::string_view der, const spiffe::SpiffeId& id, Csr* csr) {
  if (der.empty()) {
    return Refuse(Refusal::CSR_MALFORMED, "the request has no certificate signing request");
  }
  if (der.size() > kMaxCsrBytes) {
    return Refuse(Refusal::CSR_TOO_LARGE,
                  absl::StrCat("the certificate signing request has ", der.size(),
                               " bytes; the limit is ", kMaxCsrBytes));
  }
  DerReader outer(der);
  absl::string_view request, info, signed_bytes, algorithm, signature;
  if (!outer.Read(kDerSequence, &request)) return Malformed("its length is wrong");
  if (!outer.AtEnd()) return Malformed("bytes follow its end");
  DerReader parts(request);
  if (!parts.Read(kDerSequence, &info, &signed_bytes) || !parts.Read(kDerSequence, &algorithm) ||
      !parts.Read(kDerBitString, &signature) || !parts.AtEnd()) {
    return Malformed("it has not its three parts");
  }
  DerReader fields(info);
  absl::string_view version, subject, attributes, key;
  if (!fields.Read(kDerInteger, &version) || version != absl::string_view("\0", 1)) {
    return Malformed("its version is not 0");
  }
  if (!fields.Read(kDerSequence, &subject)) return Malformed("its subject cannot be read");
  if (!fields.Read(kDerSequence, &key, &csr->public_key_info)) {
    return Malformed("its public key cannot be read");
  }
  if (fields.PeekTag(kDerContext0) && !fields.Read(kDerContext0, &attributes)) {
    return Malformed("its attributes cannot be read");
  }
  if (!fields.AtEnd()) return Malformed("bytes follow its attributes");

  Verdict verdict = ParsePublicKey(key, csr);
  if (!verdict.ok) return verdict;
  verdict = CheckAttributes(attributes, id);
  if (!verdict.ok) return verdict;
  Hash hash;
  if (!ParseSignatureAlgorithm(algorithm, &hash)) {
    return Refuse(Refusal::CSR_BAD_SIGNATURE,
                  "the request must be signed by ECDSA with SHA-256, SHA-384 or SHA-512");
  }
  // Last, because it is the only dear step.
  if (signature.empty() || signature[0] != 0 ||
      !VerifyEcdsa(csr->curve, csr->point, hash, signed_bytes, signature.substr(1))) {
    return Refuse(Refusal::CSR_BAD_SIGNATURE,
                  "the request is not signed with the private key that belongs to its public key");
  }
  return {};
}

}  // namespace

countersign::identity::OrRefused<Csr> CheckCsr(absl::string_view der, const spiffe::SpiffeId& id) {
  Csr csr;
  Verdict verdict = Check(der, id, &csr);
  if (!verdict.ok) return std::move(verdict.refused);
  return csr;
}

}  // namespace countersign::control::ca
