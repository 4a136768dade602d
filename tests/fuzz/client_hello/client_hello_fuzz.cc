// The sniffer of first bytes, held against OpenSSL's own reading of the same bytes, and against
// itself: what it has once decided, more bytes do not change.
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <algorithm>
#include <cstdint>
#include <cstdlib>

#include "api/spiffe/openssl_ptr.h"
#include "proxy/listener/client_hello.h"

namespace {

using countersign::listener::kMaxClientHello;
using countersign::listener::SniffClientHello;
using countersign::listener::Sniffed;

constexpr absl::string_view kMesh = "countersign";

enum class OpenSsl { kNoClientHello, kOther, kMesh };

bool OffersMesh(const unsigned char* data, size_t size) {
  // A two-byte length, then names with a one-byte length each: RFC 7301, section 3.1.
  for (size_t i = 2; i < size;) {
    const size_t length = data[i++];
    if (length > size - i) return false;
    if (absl::string_view(reinterpret_cast<const char*>(data + i), length) == kMesh) return true;
    i += length;
  }
  return false;
}

int OnClientHello(SSL* ssl, int*, void*) {
  const unsigned char* alpn = nullptr;
  size_t size = 0;
  const bool mesh = SSL_client_hello_get0_ext(
                        ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &alpn, &size) &&
                    OffersMesh(alpn, size);
  *static_cast<OpenSsl*>(SSL_get_app_data(ssl)) = mesh ? OpenSsl::kMesh : OpenSsl::kOther;
  return SSL_CLIENT_HELLO_ERROR;
}

OpenSsl ReadByOpenSsl(const uint8_t* data, size_t size) {
  static SSL_CTX* const context = [] {
    SSL_CTX* c = SSL_CTX_new(TLS_server_method());
    SSL_CTX_set_client_hello_cb(c, &OnClientHello, nullptr);
    return c;
  }();
  OpenSsl result = OpenSsl::kNoClientHello;
  const countersign::spiffe::SslPtr ssl(SSL_new(context));
  BIO* in = BIO_new_mem_buf(data, static_cast<int>(size));
  BIO_set_mem_eof_return(in, -1);
  SSL_set_bio(ssl.get(), in, BIO_new(BIO_s_mem()));
  SSL_set_app_data(ssl.get(), &result);
  SSL_accept(ssl.get());
  ERR_clear_error();
  return result;
}

// RFC 8446, section 5.1, forbids empty handshake records; the sniffer refuses them, OpenSSL does
// not.
bool HasOddRecord(const uint8_t* data, size_t size) {
  for (size_t i = 0; i + 5 <= size;) {
    const size_t length = static_cast<size_t>(data[i + 3]) << 8 | data[i + 4];
    if (length == 0 || data[i + 1] != 3 || data[i + 2] > 4) return true;
    i += 5 + length;
  }
  return false;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const absl::string_view all(reinterpret_cast<const char*>(data), size);
  const Sniffed whole = SniffClientHello(all, kMesh);
  if (whole == Sniffed::kNeedMore && size > 2 * kMaxClientHello) std::abort();

  // As it arrives: every length at first, then in strides.
  Sniffed decided = Sniffed::kNeedMore;
  for (size_t n = 0; n < size; n += n < 64 ? 1 : std::max<size_t>(size / 32, 1)) {
    const Sniffed now = SniffClientHello(all.substr(0, n), kMesh);
    if (decided != Sniffed::kNeedMore && now != decided) std::abort();
    decided = now;
  }
  if (decided != Sniffed::kNeedMore && whole != decided) std::abort();

  // A hello that our own TLS would take for the mesh's goes to it, and none other does.
  const OpenSsl reference = ReadByOpenSsl(data, size);
  if (reference == OpenSsl::kMesh && whole != Sniffed::kMeshTls && !HasOddRecord(data, size)) {
    std::abort();
  }
  if (reference == OpenSsl::kOther && whole == Sniffed::kMeshTls) std::abort();
  return 0;
}
