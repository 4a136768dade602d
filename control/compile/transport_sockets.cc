#include "control/compile/transport_sockets.h"

#include "api/net/alpn.h"
#include "api/xds/names.h"
#include "api/xds/raw_buffer.pb.h"
#include "api/xds/tls.pb.h"

namespace countersign::control::compile {
namespace {

namespace core = ::envoy::config::core::v3;
namespace tls = ::envoy::extensions::transport_sockets::tls::v3;

void SetSecret(const char* name, tls::SdsSecretConfig* config) {
  config->set_name(name);
  config->mutable_sds_config()->mutable_ads();
  config->mutable_sds_config()->set_resource_api_version(core::V3);
}

void FillCommon(const char* alpn, tls::CommonTlsContext* common) {
  common->mutable_tls_params()->set_tls_minimum_protocol_version(tls::TlsParameters::TLSv1_3);
  common->mutable_tls_params()->set_tls_maximum_protocol_version(tls::TlsParameters::TLSv1_3);
  common->add_alpn_protocols(alpn);
  SetSecret(xds::kSvidSecret, common->add_tls_certificate_sds_secret_configs());
}

}  // namespace

core::TransportSocket DownstreamMtls(const char* alpn) {
  tls::DownstreamTlsContext context;
  FillCommon(alpn, context.mutable_common_tls_context());
  SetSecret(xds::kTrustSecret,
            context.mutable_common_tls_context()->mutable_validation_context_sds_secret_config());
  context.mutable_require_client_certificate()->set_value(true);
  core::TransportSocket socket;
  socket.set_name(xds::kTlsSocket);
  socket.mutable_typed_config()->PackFrom(context);
  return socket;
}

core::TransportSocket UpstreamMtls(const std::set<std::string>& identities) {
  tls::UpstreamTlsContext context;
  FillCommon(net::kMeshAlpn, context.mutable_common_tls_context());
  auto* combined = context.mutable_common_tls_context()->mutable_combined_validation_context();
  combined->mutable_default_validation_context();
  for (const std::string& identity : identities) {
    auto* san = combined->mutable_default_validation_context()->add_match_typed_subject_alt_names();
    san->set_san_type(tls::SubjectAltNameMatcher::URI);
    san->mutable_matcher()->set_exact(identity);
  }
  SetSecret(xds::kTrustSecret, combined->mutable_validation_context_sds_secret_config());
  core::TransportSocket socket;
  socket.set_name(xds::kTlsSocket);
  socket.mutable_typed_config()->PackFrom(context);
  return socket;
}

core::TransportSocket Plaintext() {
  core::TransportSocket socket;
  socket.set_name(xds::kRawBufferSocket);
  socket.mutable_typed_config()->PackFrom(
      envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer());
  return socket;
}

}  // namespace countersign::control::compile
