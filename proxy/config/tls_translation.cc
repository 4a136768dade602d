#include "proxy/config/tls_translation.h"

#include "absl/strings/str_cat.h"
#include "api/net/alpn.h"
#include "api/xds/names.h"
#include "api/xds/raw_buffer.pb.h"
#include "api/xds/tls.pb.h"
#include "proxy/config/strict_fields.h"

namespace countersign::config {
namespace {

namespace core = ::envoy::config::core::v3;
namespace tls = ::envoy::extensions::transport_sockets::tls::v3;

absl::Status CheckSecret(const tls::SdsSecretConfig& secret, const char* name,
                         const std::string& path) {
  if (secret.name() != name) {
    return absl::InvalidArgumentError(absl::StrCat(path, ".name: `", secret.name().substr(0, 64),
                                                   "` is no secret of this proxy; it has `", name,
                                                   "` here"));
  }
  return absl::OkStatus();
}

absl::Status CheckCommon(const tls::CommonTlsContext& common, const std::string& path) {
  if (const auto minimum = common.tls_params().tls_minimum_protocol_version();
      minimum != tls::TlsParameters::TLS_AUTO && minimum != tls::TlsParameters::TLSv1_3) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ".tls_params.tls_minimum_protocol_version: mesh peers speak TLS 1.3 only"));
  }
  if (const auto maximum = common.tls_params().tls_maximum_protocol_version();
      maximum != tls::TlsParameters::TLS_AUTO && maximum != tls::TlsParameters::TLSv1_3) {
    return absl::InvalidArgumentError(absl::StrCat(
        path, ".tls_params.tls_maximum_protocol_version: mesh peers speak TLS 1.3 only"));
  }
  for (const std::string& alpn : common.alpn_protocols()) {
    if (alpn != net::kMeshAlpn && alpn != net::kMeshHttpAlpn && alpn != net::kTunnelAlpn) {
      return absl::InvalidArgumentError(absl::StrCat(
          path, ".alpn_protocols: `", alpn.substr(0, 64), "` is not honoured; `", net::kMeshAlpn,
          "`, `", net::kMeshHttpAlpn, "` and `", net::kTunnelAlpn, "` are"));
    }
  }
  if (common.tls_certificate_sds_secret_configs_size() != 1) {
    return absl::InvalidArgumentError(
        absl::StrCat(path, ".tls_certificate_sds_secret_configs: must be exactly one"));
  }
  return CheckSecret(common.tls_certificate_sds_secret_configs(0), xds::kSvidSecret,
                     absl::StrCat(path, ".tls_certificate_sds_secret_configs[0]"));
}

absl::StatusOr<bool> IsPlaintext(const core::TransportSocket& socket, const std::string& path) {
  if (socket.name().empty() && !socket.has_typed_config()) {
    return true;
  }
  envoy::extensions::transport_sockets::raw_buffer::v3::RawBuffer raw;
  if (!socket.typed_config().Is<decltype(raw)>()) {
    return false;
  }
  if (absl::Status status = UnpackStrict(socket.typed_config(), path, &raw); !status.ok()) {
    return status;
  }
  return true;
}

}  // namespace

absl::StatusOr<bool> IsDownstreamMtls(const core::TransportSocket& socket,
                                      const std::string& path) {
  const std::string typed = absl::StrCat(path, ".typed_config");
  const absl::StatusOr<bool> plaintext = IsPlaintext(socket, typed);
  if (!plaintext.ok()) {
    return plaintext.status();
  }
  if (*plaintext) {
    return false;
  }
  tls::DownstreamTlsContext context;
  if (absl::Status status = UnpackStrict(socket.typed_config(), typed, &context); !status.ok()) {
    return status;
  }
  const tls::CommonTlsContext& common = context.common_tls_context();
  const std::string common_path = absl::StrCat(typed, ".common_tls_context");
  if (absl::Status status = CheckCommon(common, common_path); !status.ok()) {
    return status;
  }
  if (!context.require_client_certificate().value()) {
    return absl::InvalidArgumentError(
        absl::StrCat(typed,
                     ".require_client_certificate: must be true: the proxy terminates no "
                     "TLS whose caller proves no identity"));
  }
  if (!common.has_validation_context_sds_secret_config()) {
    return absl::InvalidArgumentError(
        absl::StrCat(common_path, ".validation_context_sds_secret_config: is required"));
  }
  if (absl::Status status =
          CheckSecret(common.validation_context_sds_secret_config(), xds::kTrustSecret,
                      absl::StrCat(common_path, ".validation_context_sds_secret_config"));
      !status.ok()) {
    return status;
  }
  return true;
}

absl::StatusOr<UpstreamSocket> TranslateUpstreamSocket(const core::TransportSocket& socket,
                                                       const std::string& path) {
  const std::string typed = absl::StrCat(path, ".typed_config");
  const absl::StatusOr<bool> plaintext = IsPlaintext(socket, typed);
  if (!plaintext.ok()) {
    return plaintext.status();
  }
  UpstreamSocket out;
  if (*plaintext) {
    return out;
  }
  tls::UpstreamTlsContext context;
  if (absl::Status status = UnpackStrict(socket.typed_config(), typed, &context); !status.ok()) {
    return status;
  }
  const tls::CommonTlsContext& common = context.common_tls_context();
  const std::string common_path = absl::StrCat(typed, ".common_tls_context");
  if (absl::Status status = CheckCommon(common, common_path); !status.ok()) {
    return status;
  }
  out.mtls = true;
  if (common.has_validation_context_sds_secret_config()) {
    return CheckSecret(common.validation_context_sds_secret_config(), xds::kTrustSecret,
                       absl::StrCat(common_path, ".validation_context_sds_secret_config"))
                   .ok()
               ? absl::StatusOr<UpstreamSocket>(std::move(out))
               : absl::InvalidArgumentError(
                     absl::StrCat(common_path, ".validation_context_sds_secret_config: must be `",
                                  xds::kTrustSecret, "`"));
  }
  const std::string combined_path = absl::StrCat(common_path, ".combined_validation_context");
  if (!common.has_combined_validation_context()) {
    return absl::InvalidArgumentError(
        absl::StrCat(combined_path, ": is required: a peer that is not verified is no mesh peer"));
  }
  const auto& combined = common.combined_validation_context();
  if (absl::Status status =
          CheckSecret(combined.validation_context_sds_secret_config(), xds::kTrustSecret,
                      absl::StrCat(combined_path, ".validation_context_sds_secret_config"));
      !status.ok()) {
    return status;
  }
  const auto& sans = combined.default_validation_context().match_typed_subject_alt_names();
  for (int i = 0; i < sans.size(); ++i) {
    const std::string san_path = absl::StrCat(
        combined_path, ".default_validation_context.match_typed_subject_alt_names[", i, "]");
    absl::StatusOr<spiffe::SpiffeId> id = spiffe::SpiffeId::Parse(sans[i].matcher().exact());
    if (sans[i].san_type() != tls::SubjectAltNameMatcher::URI || !id.ok() ||
        sans[i].matcher().ignore_case()) {
      return absl::InvalidArgumentError(
          absl::StrCat(san_path,
                       ": must be san_type URI and exact, with a SPIFFE ID: peers are known by "
                       "nothing else"));
    }
    out.identities.push_back(*std::move(id));
  }
  return out;
}

}  // namespace countersign::config
