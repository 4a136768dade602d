// CSR intake: what is taken has a key on a curve and a signature that OpenSSL accepts, too.
#include <openssl/err.h>
#include <openssl/x509.h>

#include <cstdint>
#include <cstdlib>

#include "api/spiffe/openssl_ptr.h"
#include "control/ca/csr.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace countersign;  // NOLINT: one function
  static const auto* const kId =
      new spiffe::SpiffeId(*spiffe::SpiffeId::Parse("spiffe://cluster.local/ns/shop/sa/web"));
  const absl::string_view der(reinterpret_cast<const char*>(data), size);
  const auto result = control::ca::CheckCsr(der, *kId);
  if (!std::holds_alternative<control::ca::Csr>(result)) return 0;
  const auto& csr = std::get<control::ca::Csr>(result);
  const unsigned char* cursor = data;
  spiffe::X509ReqPtr request(d2i_X509_REQ(nullptr, &cursor, static_cast<long>(size)));
  if (request == nullptr || cursor != data + size ||
      X509_REQ_verify(request.get(), X509_REQ_get0_pubkey(request.get())) != 1) {
    std::abort();
  }
  ERR_clear_error();
  const size_t point = csr.curve == control::ca::Curve::kP256 ? 65 : 97;
  if (csr.point.size() != point || csr.public_key_info.size() > 128) std::abort();
  return 0;
}
