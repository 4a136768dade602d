#include "api/spiffe/verifier.h"

#include <openssl/err.h>
#include <openssl/sha.h>
#include <openssl/x509v3.h>

#include <ctime>

#include "api/spiffe/der_reader.h"

namespace countersign::spiffe {
namespace {

struct ErrorText {
  const char* label;
  const char* sentence;
};

constexpr ErrorText kErrorTexts[kVerifyErrorCount] = {
    {"none", "the certificate is a valid X.509-SVID"},
    {"no_certificate",
     "the peer presented no certificate; give it an identity of this mesh, or allow plaintext for "
     "it"},
    {"malformed", "the peer's certificate is not a well-formed X.509 version 3 certificate"},
    {"chain_too_long",
     "the peer's certificate chain has more than 5 certificates; have its authority issue through "
     "fewer intermediates"},
    {"no_uri_san",
     "the peer's certificate names no SPIFFE ID: it has no URI among its subject alternative "
     "names, and names of any other kind are no identity here"},
    {"many_uri_sans",
     "the peer's certificate has more than one URI among its subject alternative names; an "
     "X.509-SVID has exactly one"},
    {"bad_spiffe_id",
     "the URI in the peer's certificate is no SPIFFE ID with a path (spiffe://trust-domain/path, "
     "lower-case trust domain, no port, query or percent-encoding)"},
    {"ca_certificate",
     "the peer authenticates with a CA certificate; only leaf certificates may authenticate"},
    {"forbidden_key_usage",
     "the key usage of the peer's certificate must be critical, contain digitalSignature and "
     "contain neither keyCertSign nor cRLSign"},
    {"wrong_extended_key_usage",
     "the extended key usage of the peer's certificate must contain both serverAuth and "
     "clientAuth"},
    {"unknown_critical_extension",
     "a certificate of the peer's chain has a critical extension that is not understood"},
    {"unknown_trust_domain",
     "the peer's trust domain has no bundle here; federate with it if it is to be trusted"},
    {"expired",
     "a certificate of the peer's chain has expired; look at why the peer does not renew, and at "
     "both clocks"},
    {"not_yet_valid",
     "a certificate of the peer's chain is not valid yet; compare the clocks of both sides"},
    {"untrusted_chain",
     "the peer's certificate does not chain to an authority in the bundle of its own trust "
     "domain"},
    {"denied", "the peer's identity or certificate is on the deny list (IdentityRevocation)"},
    {"unexpected_id", "the peer's SPIFFE ID is valid, but not the one expected at this address"},
};

const ErrorText& TextOf(VerifyError error) {
  const auto index = static_cast<size_t>(error);
  return kErrorTexts[index < kVerifyErrorCount ? index
                                               : static_cast<size_t>(VerifyError::kMalformed)];
}

absl::string_view View(const ASN1_STRING* string) {
  return absl::string_view(reinterpret_cast<const char*>(ASN1_STRING_get0_data(string)),
                           static_cast<size_t>(ASN1_STRING_length(string)));
}

bool ToTime(const ASN1_TIME* asn1, absl::Time* time) {
  std::tm tm = {};
  if (ASN1_TIME_to_tm(asn1, &tm) != 1) return false;
  *time = absl::FromTM(tm, absl::UTCTimeZone());
  return true;
}

// The one URI among the subject alternative names (RFC 5280, 4.2.1.6), read from the DER with its
// length: what is in it, NUL included, is for SpiffeId::Parse to judge.
VerifyError FindUri(X509* leaf, absl::string_view* uri) {
  const int position = X509_get_ext_by_NID(leaf, NID_subject_alt_name, -1);
  if (position < 0) return VerifyError::kNoUriSan;
  if (X509_get_ext_by_NID(leaf, NID_subject_alt_name, position) >= 0) {
    return VerifyError::kMalformed;
  }
  X509_EXTENSION* extension = X509_get_ext(leaf, position);
  // RFC 5280, 4.2.1.6: critical when the subject is empty.
  if (X509_NAME_entry_count(X509_get_subject_name(leaf)) == 0 &&
      X509_EXTENSION_get_critical(extension) == 0) {
    return VerifyError::kMalformed;
  }
  DerReader outer(View(X509_EXTENSION_get_data(extension)));
  absl::string_view names;
  if (!outer.Read(kDerSequence, &names) || !outer.AtEnd()) return VerifyError::kMalformed;
  DerReader reader(names);
  int uris = 0;
  while (!reader.AtEnd()) {
    uint8_t tag;
    absl::string_view content;
    if (!reader.ReadAny(&tag, &content)) return VerifyError::kMalformed;
    if (tag == kDerUri && uris++ == 0) *uri = content;
  }
  if (uris == 0) return VerifyError::kNoUriSan;
  return uris == 1 ? VerifyError::kNone : VerifyError::kManyUriSans;
}

bool KeyUsageIsCritical(X509* leaf) {
  const int position = X509_get_ext_by_NID(leaf, NID_key_usage, -1);
  return position >= 0 && X509_EXTENSION_get_critical(X509_get_ext(leaf, position)) != 0;
}

// X509-SVID, section 4.
VerifyError CheckLeafExtensions(X509* leaf) {
  const uint32_t flags = X509_get_extension_flags(leaf);
  if ((flags & EXFLAG_INVALID) != 0) return VerifyError::kMalformed;
  if ((flags & EXFLAG_CRITICAL) != 0) return VerifyError::kUnknownCriticalExtension;
  if ((flags & EXFLAG_CA) != 0) return VerifyError::kCaCertificate;
  if ((flags & EXFLAG_KUSAGE) == 0) return VerifyError::kForbiddenKeyUsage;
  const uint32_t usage = X509_get_key_usage(leaf);
  if ((usage & (KU_KEY_CERT_SIGN | KU_CRL_SIGN)) != 0 || (usage & KU_DIGITAL_SIGNATURE) == 0 ||
      !KeyUsageIsCritical(leaf)) {
    return VerifyError::kForbiddenKeyUsage;
  }
  if ((flags & EXFLAG_XKUSAGE) != 0) {
    constexpr uint32_t kBoth = XKU_SSL_SERVER | XKU_SSL_CLIENT;
    if ((X509_get_extended_key_usage(leaf) & kBoth) != kBoth) {
      return VerifyError::kWrongExtendedKeyUsage;
    }
  }
  return VerifyError::kNone;
}

bool Encode(X509* certificate, std::string* out) {
  unsigned char* der = nullptr;
  const int length = i2d_X509(certificate, &der);
  if (length <= 0) return false;
  out->assign(reinterpret_cast<const char*>(der), static_cast<size_t>(length));
  OPENSSL_free(der);
  return true;
}

bool EncodeAndDigest(X509* leaf, PeerSvid* svid) {
  if (!Encode(leaf, &svid->der)) return false;
  unsigned char hash[SHA256_DIGEST_LENGTH];
  // The low-level calls: OpenSSL 3.0's others fetch the algorithm by name each time.
  SHA256_CTX context;
  SHA256_Init(&context);
  SHA256_Update(&context, svid->der.data(), svid->der.size());
  SHA256_Final(hash, &context);
  svid->digest.assign(reinterpret_cast<const char*>(hash), sizeof(hash));
  return true;
}

VerifyError FromX509Error(int error) {
  switch (error) {
    case X509_V_ERR_CERT_HAS_EXPIRED:
      return VerifyError::kExpired;
    case X509_V_ERR_CERT_NOT_YET_VALID:
      return VerifyError::kNotYetValid;
    case X509_V_ERR_UNHANDLED_CRITICAL_EXTENSION:
      return VerifyError::kUnknownCriticalExtension;
    case X509_V_ERR_CERT_CHAIN_TOO_LONG:
      return VerifyError::kChainTooLong;
    case X509_V_ERR_ERROR_IN_CERT_NOT_BEFORE_FIELD:
    case X509_V_ERR_ERROR_IN_CERT_NOT_AFTER_FIELD:
    case X509_V_ERR_INVALID_EXTENSION:
    case X509_V_ERR_UNABLE_TO_DECODE_ISSUER_PUBLIC_KEY:
      return VerifyError::kMalformed;
    default:
      return VerifyError::kUntrustedChain;
  }
}

VerifyError CheckPath(X509* leaf, STACK_OF(X509) * untrusted, STACK_OF(X509) * anchors,
                      absl::Time now, std::vector<std::string>* intermediates) {
  X509StoreCtxPtr context(X509_STORE_CTX_new());
  if (context == nullptr || X509_STORE_CTX_init(context.get(), nullptr, leaf, untrusted) != 1) {
    return VerifyError::kUntrustedChain;
  }
  X509_STORE_CTX_set0_trusted_stack(context.get(), anchors);
  X509_VERIFY_PARAM* param = X509_STORE_CTX_get0_param(context.get());
  X509_VERIFY_PARAM_set_time(param, absl::ToTimeT(now));
  X509_VERIFY_PARAM_set_depth(param, kMaxChain - 1);
  // 112 bits: no SHA-1, no RSA below 2048 bits anywhere in the chain.
  X509_VERIFY_PARAM_set_auth_level(param, 2);
  // Whatever is in the bundle is an anchor, self-signed or not.
  X509_VERIFY_PARAM_set_flags(param, X509_V_FLAG_PARTIAL_CHAIN);
  const bool valid = X509_verify_cert(context.get()) == 1;
  VerifyError result = VerifyError::kNone;
  if (!valid) {
    result = FromX509Error(X509_STORE_CTX_get_error(context.get()));
  } else {
    // OpenSSL takes a certificate without basicConstraints for a CA when it has keyCertSign; RFC
    // 5280, 6.1.4 (k), does not.
    STACK_OF(X509)* chain = X509_STORE_CTX_get0_chain(context.get());
    for (int i = 1; i < sk_X509_num(chain); ++i) {
      if (X509_check_ca(sk_X509_value(chain, i)) != 1) result = VerifyError::kUntrustedChain;
    }
    // The last is the anchor.
    for (int i = 1; i + 1 < sk_X509_num(chain); ++i) {
      if (!Encode(sk_X509_value(chain, i), &intermediates->emplace_back())) {
        result = VerifyError::kMalformed;
      }
    }
  }
  ERR_clear_error();
  return result;
}

}  // namespace

const char* VerifyErrorLabel(VerifyError error) { return TextOf(error).label; }
const char* VerifyErrorSentence(VerifyError error) { return TextOf(error).sentence; }

VerifyError ParseLeaf(X509* leaf, PeerSvid* svid) {
  if (leaf == nullptr) return VerifyError::kNoCertificate;
  if (X509_get_version(leaf) != X509_VERSION_3) return VerifyError::kMalformed;
  VerifyError error = CheckLeafExtensions(leaf);
  if (error != VerifyError::kNone) {
    ERR_clear_error();
    return error;
  }
  absl::string_view uri;
  error = FindUri(leaf, &uri);
  if (error != VerifyError::kNone) return error;
  absl::StatusOr<SpiffeId> id = SpiffeId::Parse(uri);
  if (!id.ok() || id->path().empty()) return VerifyError::kBadSpiffeId;

  const ASN1_INTEGER* serial = X509_get0_serialNumber(leaf);
  const unsigned char* issuer = nullptr;
  size_t issuer_length = 0;
  // RFC 5280, 4.1.2.2: a serial is positive and of at most 20 octets.
  if (serial == nullptr || ASN1_STRING_type(serial) != V_ASN1_INTEGER ||
      ASN1_STRING_length(serial) > 20 ||
      X509_NAME_get0_der(X509_get_issuer_name(leaf), &issuer, &issuer_length) != 1 ||
      !ToTime(X509_get0_notBefore(leaf), &svid->not_before) ||
      !ToTime(X509_get0_notAfter(leaf), &svid->not_after) || !EncodeAndDigest(leaf, svid)) {
    ERR_clear_error();
    return VerifyError::kMalformed;
  }
  absl::string_view serial_bytes = View(serial);
  while (!serial_bytes.empty() && serial_bytes[0] == 0) serial_bytes.remove_prefix(1);
  svid->id = *std::move(id);
  svid->issuer.assign(reinterpret_cast<const char*>(issuer), issuer_length);
  svid->serial.assign(serial_bytes.data(), serial_bytes.size());
  return VerifyError::kNone;
}

VerifyError Verify(X509* leaf, STACK_OF(X509) * untrusted, const BundleSet& bundles,
                   const DenyList& deny_list, absl::Time now, PeerSvid* svid) {
  if (leaf == nullptr) return VerifyError::kNoCertificate;
  const int others = untrusted == nullptr ? 0 : sk_X509_num(untrusted);
  // The leaf may be in `untrusted` too.
  const bool has_leaf = others > 0 && sk_X509_value(untrusted, 0) == leaf;
  if (others + (has_leaf ? 0 : 1) > kMaxChain) return VerifyError::kChainTooLong;
  VerifyError error = ParseLeaf(leaf, svid);
  if (error != VerifyError::kNone) return error;
  STACK_OF(X509)* anchors = bundles.AnchorsFor(svid->id.trust_domain());
  if (anchors == nullptr) return VerifyError::kUnknownTrustDomain;
  // Before the signatures, because it is so much cheaper.
  if (now < svid->not_before) return VerifyError::kNotYetValid;
  if (now > svid->not_after) return VerifyError::kExpired;
  svid->intermediates.clear();
  error = CheckPath(leaf, untrusted, anchors, now, &svid->intermediates);
  if (error != VerifyError::kNone) return error;
  if (deny_list.Denies(svid->id, svid->issuer, svid->serial)) return VerifyError::kDenied;
  return VerifyError::kNone;
}

}  // namespace countersign::spiffe
