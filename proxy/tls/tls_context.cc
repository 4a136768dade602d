#include "proxy/tls/tls_context.h"

#include <openssl/err.h>
#include <openssl/sha.h>

#include <cstring>
#include <string>

#include "absl/status/status.h"
#include "absl/strings/str_cat.h"
#include "proxy/tls/tls_transport_socket.h"

namespace countersign::tls {
namespace {

// Five certificates of 2 KiB with room to spare; OpenSSL's default is 100 KiB.
constexpr long kMaxCertificateListBytes = 16 * 1024;
constexpr int kVerifyDepth = 4;

absl::Status LastError(absl::string_view what) {
  char text[256] = "no reason given";
  if (const unsigned long code = ERR_get_error(); code != 0) {
    ERR_error_string_n(code, text, sizeof text);
  }
  ERR_clear_error();
  return absl::InvalidArgumentError(absl::StrCat("cannot use the certificate: ", what, ": ", text));
}

}  // namespace

int TlsContext::SslIndex() {
  static const int index = SSL_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

absl::StatusOr<std::shared_ptr<const TlsContext>> TlsContext::Create(
    Role role, std::shared_ptr<const identity::SecretSnapshot> secret) {
  if (secret == nullptr || secret->chain.empty() || secret->key == nullptr ||
      secret->bundles == nullptr || secret->deny_list == nullptr) {
    return absl::InvalidArgumentError(
        "cannot use the certificate: the snapshot lacks a chain, a key, bundles or a deny list");
  }
  ERR_clear_error();
  std::shared_ptr<TlsContext> context(new TlsContext(role, std::move(secret)));
  context->ctx_.reset(
      SSL_CTX_new(role == Role::kClient ? TLS_client_method() : TLS_server_method()));
  SSL_CTX* ctx = context->ctx_.get();
  if (ctx == nullptr) return LastError("SSL_CTX_new");
  SSL_CTX_set_min_proto_version(ctx, TLS1_3_VERSION);
  SSL_CTX_set_max_proto_version(ctx, TLS1_3_VERSION);
  SSL_CTX_set_options(ctx, SSL_OP_NO_TICKET | SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION |
                               SSL_OP_CIPHER_SERVER_PREFERENCE);
  SSL_CTX_set_session_cache_mode(ctx, SSL_SESS_CACHE_OFF);
  SSL_CTX_set_num_tickets(ctx, 0);
  SSL_CTX_set_max_early_data(ctx, 0);
  SSL_CTX_set_mode(ctx, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_max_cert_list(ctx, kMaxCertificateListBytes);
  SSL_CTX_set_verify_depth(ctx, kVerifyDepth);
  if (SSL_CTX_set1_groups_list(ctx, "X25519:P-256") != 1) return LastError("groups");
  if (SSL_CTX_set_ciphersuites(
          ctx, "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384:TLS_CHACHA20_POLY1305_SHA256") != 1) {
    return LastError("cipher suites");
  }
  const identity::SecretSnapshot& snapshot = *context->secret_;
  if (SSL_CTX_use_certificate(ctx, snapshot.chain[0].get()) != 1) return LastError("leaf");
  for (size_t i = 1; i < snapshot.chain.size(); ++i) {
    if (SSL_CTX_add1_chain_cert(ctx, snapshot.chain[i].get()) != 1) return LastError("chain");
  }
  if (SSL_CTX_use_PrivateKey(ctx, snapshot.key.get()) != 1 || SSL_CTX_check_private_key(ctx) != 1) {
    return LastError("private key");
  }
  // Sessions are never stored, but should one ever be offered, it belongs to this role, these
  // bundles and this deny list alone.
  const std::string scope =
      absl::StrCat(role == Role::kClient ? "client " : "server ", snapshot.bundles->epoch(), " ",
                   snapshot.deny_list->epoch());
  uint8_t digest[SHA256_DIGEST_LENGTH];
  SHA256(reinterpret_cast<const uint8_t*>(scope.data()), scope.size(), digest);
  SSL_CTX_set_session_id_context(ctx, digest, sizeof digest);
  SSL_CTX_set_verify(ctx, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, nullptr);
  TlsTransportSocket::InstallCallbacks(ctx, role);
  return std::shared_ptr<const TlsContext>(std::move(context));
}

spiffe::SslPtr TlsContext::NewSsl(void* owner) const {
  ERR_clear_error();
  spiffe::SslPtr ssl(SSL_new(ctx_.get()));
  if (ssl != nullptr && SSL_set_ex_data(ssl.get(), SslIndex(), owner) != 1) ssl.reset();
  return ssl;
}

}  // namespace countersign::tls
