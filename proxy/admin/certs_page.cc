#include "proxy/admin/certs_page.h"

#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>

#include <ctime>
#include <nlohmann/json.hpp>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/escaping.h"

namespace countersign::admin {
namespace {

using Json = nlohmann::ordered_json;

// Names come from configuration and peers: what is not UTF-8 is replaced, never thrown at us.
std::string Print(const Json& json) {
  return json.dump(2, ' ', false, Json::error_handler_t::replace) + "\n";
}

std::string TimeText(absl::Time time) {
  return absl::FormatTime("%Y-%m-%dT%H:%M:%SZ", time, absl::UTCTimeZone());
}

absl::Time ToTime(const ASN1_TIME* time) {
  std::tm tm{};
  if (time == nullptr || ASN1_TIME_to_tm(time, &tm) != 1) {
    return absl::InfinitePast();
  }
  return absl::FromTM(tm, absl::UTCTimeZone());
}

std::string SerialHex(X509* cert) {
  BIGNUM* number = ASN1_INTEGER_to_BN(X509_get0_serialNumber(cert), nullptr);
  char* hex = number != nullptr ? BN_bn2hex(number) : nullptr;
  std::string text = hex != nullptr ? hex : "";
  OPENSSL_free(hex);
  BN_free(number);
  return absl::AsciiStrToLower(text);
}

std::string NameText(const X509_NAME* name) {
  spiffe::BioPtr bio(BIO_new(BIO_s_mem()));
  X509_NAME_print_ex(bio.get(), name, 0, XN_FLAG_RFC2253);
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio.get(), &data);
  return std::string(data, size);
}

std::vector<std::string> UriSans(X509* cert) {
  std::vector<std::string> uris;
  auto* names =
      static_cast<GENERAL_NAMES*>(X509_get_ext_d2i(cert, NID_subject_alt_name, nullptr, nullptr));
  for (int i = 0; i < sk_GENERAL_NAME_num(names); ++i) {
    const GENERAL_NAME* name = sk_GENERAL_NAME_value(names, i);
    if (name->type == GEN_URI) {
      const ASN1_IA5STRING* uri = name->d.uniformResourceIdentifier;
      uris.emplace_back(reinterpret_cast<const char*>(ASN1_STRING_get0_data(uri)),
                        ASN1_STRING_length(uri));
    }
  }
  GENERAL_NAMES_free(names);
  ERR_clear_error();
  return uris;
}

std::string DigestHex(X509* cert) {
  uint8_t digest[EVP_MAX_MD_SIZE];
  unsigned int size = 0;
  if (X509_digest(cert, EVP_sha256(), digest, &size) != 1) {
    return "";
  }
  return absl::BytesToHexString(absl::string_view(reinterpret_cast<char*>(digest), size));
}

Json Certificate(X509* cert, absl::Time now) {
  const absl::Time not_after = ToTime(X509_get0_notAfter(cert));
  return {{"uris", UriSans(cert)},
          {"subject", NameText(X509_get_subject_name(cert))},
          {"issuer", NameText(X509_get_issuer_name(cert))},
          {"serial", SerialHex(cert)},
          {"not_before", TimeText(ToTime(X509_get0_notBefore(cert)))},
          {"not_after", TimeText(not_after)},
          {"expires_in_seconds", absl::ToInt64Seconds(not_after - now)},
          {"sha256", DigestHex(cert)}};
}

}  // namespace

std::string RenderCerts(const identity::SecretSnapshot* secret, absl::Time renew_at,
                        absl::Time now) {
  if (secret == nullptr) {
    return Print({{"identity", nullptr}, {"chain", Json::array()}});
  }
  Json chain = Json::array();
  for (const spiffe::X509Ptr& cert : secret->chain) {
    chain.push_back(Certificate(cert.get(), now));
  }
  Json bundles = Json::array();
  for (const spiffe::BundleSet::Bundle& bundle : secret->bundles->bundles()) {
    Json authorities = Json::array();
    for (const std::string& der : bundle.authorities_der) {
      const auto* at = reinterpret_cast<const uint8_t*>(der.data());
      spiffe::X509Ptr cert(d2i_X509(nullptr, &at, static_cast<long>(der.size())));
      if (cert != nullptr) {
        authorities.push_back(Certificate(cert.get(), now));
      }
    }
    bundles.push_back({{"trust_domain", bundle.trust_domain}, {"authorities", authorities}});
  }
  Json json = {{"identity", secret->id.ToString()},
               {"generation", secret->generation},
               {"not_before", TimeText(secret->not_before)},
               {"not_after", TimeText(secret->not_after)},
               {"expires_in_seconds", absl::ToInt64Seconds(secret->not_after - now)}};
  if (renew_at != absl::InfiniteFuture()) {
    json["renews_in_seconds"] = absl::ToInt64Seconds(renew_at - now);
  }
  json["chain"] = std::move(chain);
  json["trust_bundle_epoch"] = secret->bundles->epoch();
  json["trust_bundles"] = std::move(bundles);
  json["deny_list_epoch"] = secret->deny_list->epoch();
  return Print(json);
}

}  // namespace countersign::admin
