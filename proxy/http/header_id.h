// Header names that the proxy itself reads or writes, as small numbers.
#ifndef COUNTERSIGN_PROXY_HTTP_HEADER_ID_H_
#define COUNTERSIGN_PROXY_HTTP_HEADER_ID_H_

#include <cstdint>

#include "absl/strings/string_view.h"

namespace countersign::http {

// One row a name: every list of them is made from this table.
#define COUNTERSIGN_HTTP_HEADERS(ROW)                              \
  ROW(kConnection, "connection")                                   \
  ROW(kContentLength, "content-length")                            \
  ROW(kContentType, "content-type")                                \
  ROW(kCookie, "cookie")                                           \
  ROW(kDate, "date")                                               \
  ROW(kExpect, "expect")                                           \
  ROW(kForwarded, "forwarded")                                     \
  ROW(kGrpcMessage, "grpc-message")                                \
  ROW(kGrpcStatus, "grpc-status")                                  \
  ROW(kGrpcTimeout, "grpc-timeout")                                \
  ROW(kHost, "host")                                               \
  ROW(kHttp2Settings, "http2-settings")                            \
  ROW(kKeepAlive, "keep-alive")                                    \
  ROW(kLocation, "location")                                       \
  ROW(kProxyConnection, "proxy-connection")                        \
  ROW(kServer, "server")                                           \
  ROW(kSetCookie, "set-cookie")                                    \
  ROW(kTe, "te")                                                   \
  ROW(kTrailer, "trailer")                                         \
  ROW(kTransferEncoding, "transfer-encoding")                      \
  ROW(kUpgrade, "upgrade")                                         \
  ROW(kUserAgent, "user-agent")                                    \
  ROW(kVia, "via")                                                 \
  ROW(kRetryAfter, "retry-after")                                  \
  ROW(kB3, "b3")                                                   \
  ROW(kB3TraceId, "x-b3-traceid")                                  \
  ROW(kB3SpanId, "x-b3-spanid")                                    \
  ROW(kB3ParentSpanId, "x-b3-parentspanid")                        \
  ROW(kB3Sampled, "x-b3-sampled")                                  \
  ROW(kTraceparent, "traceparent")                                 \
  ROW(kTracestate, "tracestate")                                   \
  ROW(kXForwardedClientCert, "x-forwarded-client-cert")            \
  ROW(kXForwardedFor, "x-forwarded-for")                           \
  ROW(kXForwardedHost, "x-forwarded-host")                         \
  ROW(kXForwardedProto, "x-forwarded-proto")                       \
  ROW(kClientCert, "client-cert")                                  \
  ROW(kClientCertChain, "client-cert-chain")                       \
  ROW(kXRequestId, "x-request-id")                                 \
  ROW(kXEnvoyUpstreamServiceTime, "x-envoy-upstream-service-time") \
  ROW(kXEnvoyAttemptCount, "x-envoy-attempt-count")                \
  ROW(kXEnvoyOriginalPath, "x-envoy-original-path")                \
  ROW(kCountersignReason, "x-countersign-reason")                  \
  ROW(kCountersignFlags, "x-countersign-flags")                    \
  ROW(kCountersignDownstream, "x-countersign-downstream-protocol") \
  ROW(kCountersignUpgrade, "x-countersign-upgrade")

enum class HeaderId : uint8_t {
  kOther,  // a name that the proxy only carries
#define COUNTERSIGN_ROW(id, name) id,
  COUNTERSIGN_HTTP_HEADERS(COUNTERSIGN_ROW)
#undef COUNTERSIGN_ROW
};

// `name` in lower case. kOther if it is none of the table.
HeaderId FindHeaderId(absl::string_view name);
// Not for kOther. Lives for ever.
absl::string_view HeaderName(HeaderId id);

}  // namespace countersign::http

#endif  // COUNTERSIGN_PROXY_HTTP_HEADER_ID_H_
