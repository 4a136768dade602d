#include "control/server/rotating_server_credentials.h"

#include <grpc/grpc.h>
#include <grpc/grpc_security.h>
#include <grpcpp/security/server_credentials.h>

#include <cstdlib>

namespace countersign::control::server {
namespace {

// gRPC 1.51's C++ interface reloads certificates from files only, and a private key of ours is
// never in a file; the C interface below it asks a function at every handshake.
class Credentials final : public grpc::ServerCredentials {
 public:
  explicit Credentials(const ServingCertificate& certificate) : certificate_(certificate) {
    credentials_ = grpc_ssl_server_credentials_create_with_options(
        grpc_ssl_server_credentials_create_options_using_config_fetcher(
            GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_BUT_DONT_VERIFY, &Credentials::Fetch, this));
  }
  ~Credentials() override { grpc_server_credentials_release(credentials_); }

  // Client authentication is by certificate alone.
  void SetAuthMetadataProcessor(
      const std::shared_ptr<grpc::AuthMetadataProcessor>& processor) override {}

 private:
  int AddPortToServer(const std::string& address, grpc_server* server) override {
    return grpc_server_add_http2_port(server, address.c_str(), credentials_);
  }

  // gRPC serialises the calls.
  static grpc_ssl_certificate_config_reload_status Fetch(
      void* self, grpc_ssl_server_certificate_config** config) {
    auto& credentials = *static_cast<Credentials*>(self);
    std::shared_ptr<const ServingCertificate::KeyPair> current = credentials.certificate_.current();
    if (current == nullptr) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_FAIL;
    if (current == credentials.in_force_) return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_UNCHANGED;
    grpc_ssl_pem_key_cert_pair pair = {current->key_pem.c_str(), current->chain_pem.c_str()};
    // gRPC insists on roots when it requests a client certificate, even one that it does not
    // verify; what comes of them is the list of authorities in the request to the client.
    *config = grpc_ssl_server_certificate_config_create(current->roots_pem.c_str(), &pair, 1);
    credentials.in_force_ = std::move(current);
    return GRPC_SSL_CERTIFICATE_CONFIG_RELOAD_NEW;
  }

  const ServingCertificate& certificate_;
  grpc_server_credentials* credentials_ = nullptr;
  std::shared_ptr<const ServingCertificate::KeyPair> in_force_;
};

}  // namespace

std::shared_ptr<grpc::ServerCredentials> RotatingServerCredentials(
    const ServingCertificate& certificate) {
  return std::make_shared<Credentials>(certificate);
}

void RequireTls13() {
  // gRPC 1.51 sets the minimum to TLS 1.2 itself and has no option for it on a server. What it
  // leaves to us is the list of TLS 1.2 suites (TLS 1.3's are not in it): one that needs a
  // pre-shared key, which we never have, is a list that OpenSSL takes and nobody can negotiate.
  setenv("GRPC_SSL_CIPHER_SUITES", "PSK-AES128-GCM-SHA256", /*overwrite=*/1);
}

}  // namespace countersign::control::server
