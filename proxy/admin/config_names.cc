#include "proxy/admin/config_names.h"

namespace countersign::admin {

const char* TransportName(config::EndpointTransport transport) {
  switch (transport) {
    case config::EndpointTransport::kPlaintext:
      return "plaintext";
    case config::EndpointTransport::kTls:
      return "tls";
    case config::EndpointTransport::kHbone:
      return "hbone";
  }
  return "";
}

const char* AppProtocolName(config::AppProtocol protocol) {
  switch (protocol) {
    case config::AppProtocol::kAuto:
      return "auto";
    case config::AppProtocol::kTcp:
      return "tcp";
    case config::AppProtocol::kHttp1:
      return "http1";
    case config::AppProtocol::kHttp2:
      return "http2";
  }
  return "";
}

const char* LbPolicyName(config::LbPolicy policy) {
  switch (policy) {
    case config::LbPolicy::kRoundRobin:
      return "ROUND_ROBIN";
    case config::LbPolicy::kLeastRequest:
      return "LEAST_REQUEST";
    case config::LbPolicy::kRandom:
      return "RANDOM";
    case config::LbPolicy::kPeakEwma:
      return "PEAK_EWMA";
    case config::LbPolicy::kRingHash:
      return "RING_HASH";
    case config::LbPolicy::kMaglev:
      return "MAGLEV";
  }
  return "";
}

const char* MtlsModeName(config::MtlsMode mode) {
  switch (mode) {
    case config::MtlsMode::kDisable:
      return "DISABLE";
    case config::MtlsMode::kPermissive:
      return "PERMISSIVE";
    case config::MtlsMode::kStrict:
      return "STRICT";
  }
  return "";
}

}  // namespace countersign::admin
