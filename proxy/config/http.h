// How HTTP is served: to those who call the proxy's own application, or to the application on its
// way to one destination. Pure, immutable data: Envoy's HttpConnectionManager, as far as it is
// honoured.
#ifndef COUNTERSIGN_PROXY_CONFIG_HTTP_H_
#define COUNTERSIGN_PROXY_CONFIG_HTTP_H_

#include <chrono>
#include <cstdint>

namespace countersign::config {

struct HttpOptions {
  // Of what a request's path is made before it is matched, judged and forwarded (RFC 3986, section
  // 6). kReject answers 400.
  enum class EscapedSlashes : uint8_t { kKeep, kReject, kUnescape };
  bool merge_slashes = true;
  EscapedSlashes escaped_slashes = EscapedSlashes::kReject;

  std::chrono::milliseconds request_headers_timeout{
      10'000};  // from the first byte of a head to its last
  std::chrono::milliseconds stream_idle_timeout{300'000};  // without a byte in either direction
  std::chrono::milliseconds idle_timeout{3'600'000};       // of a connection without requests
  std::chrono::milliseconds max_connection_age{0};  // 0: none; drained beyond it, with jitter
  std::chrono::milliseconds delayed_close_timeout{1'000};

  uint32_t max_header_bytes = 60 * 1024;
  uint32_t max_headers = 100;
  uint32_t max_concurrent_streams = 256;

  // Inbound: which header carries the caller's certificate to the application.
  enum class ForwardClientCert : uint8_t { kNone, kXfcc, kRfc9440 };
  ForwardClientCert forward_client_cert = ForwardClientCert::kXfcc;

  bool generate_request_id = true;
  // Of requests without a sampling decision of their own. Spans are exported only where the process
  // has a collector.
  uint32_t trace_per_million = 0;
  bool operator==(const HttpOptions&) const = default;
};

}  // namespace countersign::config

#endif  // COUNTERSIGN_PROXY_CONFIG_HTTP_H_
