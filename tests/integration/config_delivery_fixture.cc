#include "tests/integration/config_delivery_fixture.h"

#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <stdlib.h>

#include <filesystem>

namespace countersign {

ConfigDeliveryTest::ConfigDeliveryTest() : authority_("mesh.test") {
  char path[] = "/tmp/config_delivery_XXXXXX";
  folder_ = mkdtemp(path);
  bundles_ = authority_.bundles();
}
ConfigDeliveryTest::~ConfigDeliveryTest() {
  Stop();
  std::filesystem::remove_all(folder_);
}

void ConfigDeliveryTest::Start() {
  metrics_ = std::make_unique<prometheus::Registry>();
  ads_ = std::make_unique<control::ads::AdsServer>(
      [this] {
        return control::ads::AdsServer::Trust{bundles_, deny_list_};
      },
      *metrics_);
  registry_ = std::make_unique<control::registry::FileRegistry>(
      control::registry::FileRegistry::Options{.directory = folder_}, *metrics_);
  registry_->Subscribe([this](auto model) { ads_->OnModel(std::move(model)); });
  ASSERT_TRUE(registry_->Start().ok());
  grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_BUT_DONT_VERIFY);
  const spiffe::testing::IssuedLeaf leaf = authority_.Intermediate().Issue(kControl);
  options.pem_key_cert_pairs.push_back({leaf.key_pem, leaf.chain_pem});
  grpc::ServerBuilder builder;
  builder.AddListeningPort(absl::StrCat("127.0.0.1:", port_), grpc::SslServerCredentials(options),
                           &port_);
  builder.RegisterService(ads_->service());
  server_ = builder.BuildAndStart();
  ASSERT_NE(server_, nullptr);
}

void ConfigDeliveryTest::Stop() {
  if (registry_ != nullptr) {
    registry_->Stop();
    ads_->Shutdown();
    server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
    server_.reset();
    registry_.reset();
    ads_.reset();
  }
}

std::string ConfigDeliveryTest::Metrics() const {
  return prometheus::TextSerializer().Serialize(metrics_->Collect());
}

}  // namespace countersign
