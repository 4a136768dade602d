#include "control/ca/testing/test_csr.h"

#include <openssl/ec.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include <cstdlib>

namespace countersign::control::ca::testing {
namespace {

spiffe::EvpPkeyPtr MakeKey(const std::string& kind) {
  if (kind == "RSA") return spiffe::EvpPkeyPtr(EVP_RSA_gen(2048));
  if (kind == "Ed25519") return spiffe::EvpPkeyPtr(EVP_PKEY_Q_keygen(nullptr, nullptr, "ED25519"));
  return spiffe::EvpPkeyPtr(EVP_EC_gen(kind.c_str()));
}

}  // namespace

TestCsr MakeCsr(const CsrOptions& options) {
  TestCsr result;
  result.key = MakeKey(options.key);
  spiffe::X509ReqPtr request(X509_REQ_new());
  X509_REQ_set_version(request.get(), 0);
  X509_REQ_set_pubkey(request.get(), result.key.get());
  if (!options.common_name.empty()) {
    X509_NAME_add_entry_by_txt(X509_REQ_get_subject_name(request.get()), "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(options.common_name.data()),
                               static_cast<int>(options.common_name.size()), -1, 0);
  }
  if (!options.extensions.empty()) {
    STACK_OF(X509_EXTENSION)* extensions = sk_X509_EXTENSION_new_null();
    for (const auto& [name, value] : options.extensions) {
      X509_EXTENSION* extension = X509V3_EXT_conf(nullptr, nullptr, const_cast<char*>(name.c_str()),
                                                  const_cast<char*>(value.c_str()));
      if (extension == nullptr) std::abort();
      sk_X509_EXTENSION_push(extensions, extension);
    }
    X509_REQ_add_extensions(request.get(), extensions);
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  }
  if (options.challenge_password) {
    X509_REQ_add1_attr_by_NID(request.get(), NID_pkcs9_challengePassword, MBSTRING_ASC,
                              reinterpret_cast<const unsigned char*>("sesame"), 6);
  }
  const EVP_MD* digest = options.key == "Ed25519" ? nullptr
                         : options.sha == 384     ? EVP_sha384()
                         : options.sha == 512     ? EVP_sha512()
                                                  : EVP_sha256();
  if (X509_REQ_sign(request.get(), result.key.get(), digest) <= 0) std::abort();
  unsigned char* der = nullptr;
  const int length = i2d_X509_REQ(request.get(), &der);
  result.der.assign(reinterpret_cast<char*>(der), static_cast<size_t>(length));
  OPENSSL_free(der);
  return result;
}

}  // namespace countersign::control::ca::testing
