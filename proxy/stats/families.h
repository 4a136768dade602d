// Every statistic of the proxy, declared once with its help text. METRICS.md is generated from here
// (`bazel run //proxy/stats:metrics_reference`), and a test fails when they differ: whoever adds a
// family adds it to kFamilies too.
#ifndef COUNTERSIGN_PROXY_STATS_FAMILIES_H_
#define COUNTERSIGN_PROXY_STATS_FAMILIES_H_

#include "proxy/stats/registry.h"

namespace countersign::stats {

// --- this room --------------------------------------------------------------------------------

inline constexpr Family kStatsSeriesCapped{"countersign_stats_series_capped_total",
                                           "Look-ups that were folded into the series `other` "
                                           "because the family had reached 2,000 series.",
                                           Type::kCounter,
                                           {"family"}};

// --- process ----------------------------------------------------------------------------------

inline constexpr Family kBuildInfo{"countersign_build_info",
                                   "Always 1; the labels say which proxy this is.",
                                   Type::kGauge,
                                   {"version", "workload", "namespace"}};
inline constexpr Family kProcessStart{
    "process_start_time_seconds", "When the process started, as Unix time.", Type::kGauge, {}};
inline constexpr Family kProcessResident{"process_resident_memory_bytes",
                                         "Resident memory at the time of the scrape.",
                                         Type::kGauge,
                                         {}};
inline constexpr Family kProcessOpenFds{
    "process_open_fds", "Open file descriptors at the time of the scrape.", Type::kGauge, {}};
inline constexpr Family kReady{
    "countersign_ready", "1 when /ready answers 200, otherwise 0.", Type::kGauge, {}};

// --- identity ---------------------------------------------------------------------------------

inline constexpr Family kCertificateExpiry{
    "countersign_certificate_expiry_seconds",
    "Seconds until the proxy's own certificate expires; negative once it has. Absent until the "
    "first certificate.",
    Type::kGauge,
    {"spiffe_id"}};
inline constexpr Family kCertificateNotAfter{
    "countersign_certificate_not_after_timestamp_seconds",
    "When the proxy's own certificate expires, as Unix time.",
    Type::kGauge,
    {"spiffe_id"}};
inline constexpr Family kTrustAnchorExpiry{
    "countersign_trust_anchor_expiry_seconds",
    "Seconds until the last of the trust domain's authorities expires.",
    Type::kGauge,
    {"trust_domain"}};
inline constexpr Family kIdentityRotations{
    "countersign_identity_rotations_total",
    "Certificates put in force, by why they were asked for: first, renewal, requested, reconnect.",
    Type::kCounter,
    {"cause"}};
inline constexpr Family kIdentityRequests{
    "countersign_identity_requests_total",
    "Certificate requests sent to the control plane, by attestation: join_token, svid, none.",
    Type::kCounter,
    {"attestation"}};
inline constexpr Family kIdentityRefusals{
    "countersign_identity_refusals_total",
    "Certificate requests that the control plane refused, by reason.",
    Type::kCounter,
    {"reason"}};
inline constexpr Family kIdentityRejected{
    "countersign_identity_responses_rejected_total",
    "Answers of the control plane that the proxy did not put in force, by what was wrong.",
    Type::kCounter,
    {"reason"}};
inline constexpr Family kIdentityStreamFailures{"countersign_identity_stream_failures_total",
                                                "Identity streams that ended, by gRPC status.",
                                                Type::kCounter,
                                                {"code"}};
inline constexpr Family kIdentityConnected{
    "countersign_identity_connected",
    "1 while the identity stream to the control plane has answered and is open.",
    Type::kGauge,
    {}};
inline constexpr Family kTrustBundleEpoch{
    "countersign_trust_bundle_epoch", "The epoch of the trust bundles in force.", Type::kGauge, {}};
inline constexpr Family kDenyListEpoch{
    "countersign_deny_list_epoch", "The epoch of the deny list in force.", Type::kGauge, {}};

// --- configuration ----------------------------------------------------------------------------

inline constexpr Family kXdsConnected{
    "countersign_xds_connected", "1 while the configuration stream is open.", Type::kGauge, {}};
inline constexpr Family kXdsLastAnswer{
    "countersign_xds_last_answer_timestamp_seconds",
    "When the control plane last sent configuration, as Unix time; absent until it has. What is in "
    "force may be as old as this while countersign_xds_connected is 0.",
    Type::kGauge,
    {}};
inline constexpr Family kXdsUpdates{
    "countersign_xds_updates_total",
    "Configuration resources received, by type (listener, cluster, endpoints) and result "
    "(accepted, rejected).",
    Type::kCounter,
    {"type", "result"}};
inline constexpr Family kXdsStreamFailures{"countersign_xds_stream_failures_total",
                                           "Configuration streams that ended, by gRPC status.",
                                           Type::kCounter,
                                           {"code"}};
inline constexpr Family kXdsSubscriptions{
    "countersign_xds_subscriptions", "Destinations subscribed to at present.", Type::kGauge, {}};

// --- data path ----------------------------------------------------------------------------------

inline constexpr Family kConnectionsActive{"countersign_connections_active",
                                           "Connections open at present, by direction (inbound, "
                                           "outbound).",
                                           Type::kGauge,
                                           {"direction"}};
inline constexpr Family kConnectionsHeld{
    "countersign_connections_held",
    "Connections that wait for the certificate or for configuration.",
    Type::kGauge,
    {}};
inline constexpr Family kTunnels{
    "countersign_tunnels", "Open HBONE tunnels, by direction.", Type::kGauge, {"direction"}};
inline constexpr Family kOutboundRefused{
    "countersign_outbound_refused_total",
    "The application's connections that were refused or failed, by reason and destination.",
    Type::kCounter,
    {"reason", "destination"}};
inline constexpr Family kInboundRefused{
    "countersign_inbound_refused_total",
    "Callers' connections that were refused or failed, by reason, the caller's address, the port "
    "and the policy that decided.",
    Type::kCounter,
    {"reason", "source", "port", "policy"}};
inline constexpr Family kPlaintextCallers{
    "countersign_plaintext_callers_total",
    "Plaintext connections let in, by the caller's address and the port: who would break under "
    "STRICT.",
    Type::kCounter,
    {"source", "port"}};
inline constexpr Family kTlsHandshakes{"countersign_tls_handshakes_total",
                                       "Mutual TLS handshakes that succeeded, by our role.",
                                       Type::kCounter,
                                       {"role"}};
inline constexpr Family kTlsHandshakeFailures{
    "countersign_tls_handshake_failures_total",
    "TLS handshakes that failed, by our role and reason: verify_... (we refused the peer), "
    "alert_... (the peer refused us), plaintext, version, alpn, ...",
    Type::kCounter,
    {"role", "reason"}};
inline constexpr Family kPeerCertificateNotAfter{
    "countersign_peer_certificate_not_after_timestamp_seconds",
    "When the certificate of a peer that is connected expires, as Unix time; gone once no "
    "connection has it. By reporter (source: we called, destination: we were called).",
    Type::kGauge,
    {"reporter", "peer_principal", "serial"}};
inline constexpr Family kHttpConnections{
    "countersign_http_connections_total",
    "Downstream connections that were served as HTTP, by direction (inbound, outbound) and "
    "protocol (HTTP/1.1, HTTP/2).",
    Type::kCounter,
    {"direction", "protocol"}};
inline constexpr Family kHttpRequestsActive{"countersign_http_requests_active",
                                            "Requests that run at present, by direction.",
                                            Type::kGauge,
                                            {"direction"}};
inline constexpr Family kHttpRefused{
    "countersign_http_refused_total",
    "What was refused of downstream HTTP, by direction and reason: bad_request, "
    "headers_too_large, request_line_too_long, path_refused, http2_protocol, "
    "request_headers_timeout, slow_reader.",
    Type::kCounter,
    {"direction", "reason"}};
inline constexpr Family kOverload{"countersign_overload_total",
                                  "Connections and requests refused, and idle connections closed, "
                                  "by a limit of this proxy, by limit.",
                                  Type::kCounter,
                                  {"limit"}};

// --- clusters -----------------------------------------------------------------------------------

inline constexpr Family kClusterConnections{"countersign_cluster_http_connections",
                                            "HTTP connections to a cluster's endpoints that are "
                                            "open at present.",
                                            Type::kGauge,
                                            {"cluster"}};
inline constexpr Family kClusterConnectionsOpened{
    "countersign_cluster_http_connections_opened_total",
    "HTTP connections to a cluster's endpoints that were made.",
    Type::kCounter,
    {"cluster"}};
inline constexpr Family kClusterConnectFailures{
    "countersign_cluster_connect_failures_total",
    "HTTP connections to a cluster's endpoints that could not be made, by reason.",
    Type::kCounter,
    {"cluster", "reason"}};
inline constexpr Family kClusterOverflow{
    "countersign_cluster_overflow_total",
    "What a cluster's circuit breakers refused, by breaker: connections, pending, requests, "
    "retries.",
    Type::kCounter,
    {"cluster", "breaker"}};
inline constexpr Family kClusterHosts{
    "countersign_cluster_hosts",
    "Endpoints of a cluster, summed over the workers that use it, by state: all, usable, ejected "
    "(outlier detection), failed_check (active health checks).",
    Type::kGauge,
    {"cluster", "state"}};
inline constexpr Family kClusterEjections{
    "countersign_cluster_ejections_total",
    "Endpoints that outlier detection took out, by cause: consecutive_5xx, "
    "consecutive_gateway_failure, success_rate.",
    Type::kCounter,
    {"cluster", "cause"}};
inline constexpr Family kClusterEjectionsRefused{
    "countersign_cluster_ejections_refused_total",
    "Endpoints that outlier detection would have taken out, had not too many been out already.",
    Type::kCounter,
    {"cluster", "cause"}};
inline constexpr Family kClusterHealthChecks{"countersign_cluster_health_checks_total",
                                             "Active health checks, by result: passed, failed.",
                                             Type::kCounter,
                                             {"cluster", "result"}};
inline constexpr Family kClusterRetries{
    "countersign_cluster_retries_total",
    "Retries of requests to a cluster (Envoy's upstream_rq_retry).",
    Type::kCounter,
    {"cluster"}};
inline constexpr Family kClusterRetriesSucceeded{
    "countersign_cluster_retries_succeeded_total",
    "Requests to a cluster whose retry brought an answer that was not to be tried again (Envoy's "
    "upstream_rq_retry_success).",
    Type::kCounter,
    {"cluster"}};
inline constexpr Family kClusterRetriesRefused{
    "countersign_cluster_retries_refused_total",
    "Retries that the policy wanted and that were not made, by reason: limit (its number of "
    "retries; Envoy's upstream_rq_retry_limit_exceeded), overflow (the cluster's breaker or budget "
    "of retries; upstream_rq_retry_overflow), body (more of it was sent than the 64 KiB kept).",
    Type::kCounter,
    {"cluster", "reason"}};
inline constexpr Family kClusterMirrored{
    "countersign_cluster_mirrored_requests_total",
    "Copies of requests for a cluster that they are mirrored to, by result: sent, not_reached (no "
    "endpoint, no connection, or an open circuit breaker), too_large (a body beyond 64 KiB), limit "
    "(too many copies under way).",
    Type::kCounter,
    {"cluster", "result"}};
inline constexpr Family kClusterFaults{
    "countersign_cluster_faults_injected_total",
    "Faults that a policy put into requests, by the called destination's own cluster and kind: "
    "delay, abort.",
    Type::kCounter,
    {"cluster", "fault"}};

// --- TCP (Istio's names and meanings under our prefix) ------------------------------------------

#define COUNTERSIGN_TCP_LABELS                                                               \
  {                                                                                          \
    "reporter", "source_workload", "source_workload_namespace", "source_principal",          \
        "destination_workload", "destination_workload_namespace", "destination_principal",   \
        "destination_service", "destination_service_namespace", "connection_security_policy" \
  }

inline constexpr Family kTcpOpened{"countersign_tcp_connections_opened_total",
                                   "TCP connections opened, by reporter (source, destination), "
                                   "both sides' workloads and identities, and whether the wire "
                                   "was mutual_tls or none.",
                                   Type::kCounter, COUNTERSIGN_TCP_LABELS};
inline constexpr Family kTcpClosed{"countersign_tcp_connections_closed_total",
                                   "TCP connections closed.", Type::kCounter,
                                   COUNTERSIGN_TCP_LABELS};
inline constexpr Family kTcpSent{"countersign_tcp_sent_bytes_total",
                                 "Bytes sent to the client, as Istio counts them: the response.",
                                 Type::kCounter, COUNTERSIGN_TCP_LABELS};
inline constexpr Family kTcpReceived{
    "countersign_tcp_received_bytes_total",
    "Bytes received from the client, as Istio counts them: the request.", Type::kCounter,
    COUNTERSIGN_TCP_LABELS};

#undef COUNTERSIGN_TCP_LABELS

// --- HTTP (Istio's names and meanings under our prefix) -----------------------------------------
// Nothing that a client chooses freely (host, path, method, headers) is a label: what is attacked
// from outside must not grow (attacks on cardinality). Response codes and flags come from
// applications and from us, and are folded into `other` past 64 combinations a pair of workloads.

#define COUNTERSIGN_REQUEST_LABELS                                                          \
  "reporter", "source_workload", "source_workload_namespace", "source_principal",           \
      "destination_workload", "destination_workload_namespace", "destination_principal",    \
      "destination_service", "destination_service_namespace", "connection_security_policy", \
      "request_protocol"

inline constexpr Family kRequests{
    "countersign_requests_total",
    "HTTP requests that have ended, by reporter (source, destination), both sides' workloads and "
    "identities, protocol (http, grpc), response code (0: none was sent), gRPC status (empty: not "
    "gRPC, or none came) and response flags of Envoy's letters (`-`: none).",
    Type::kCounter,
    {COUNTERSIGN_REQUEST_LABELS, "response_code", "grpc_response_status", "response_flags"}};
// Without code and flags: a histogram of each is nineteen series already.
inline constexpr Family kRequestDuration{
    "countersign_request_duration_milliseconds",
    "From the request's first byte to the response's last, whatever the outcome. Recorded in "
    "microseconds.",
    Type::kHistogram,
    {COUNTERSIGN_REQUEST_LABELS},
    {500, 1'000, 2'500, 5'000, 10'000, 25'000, 50'000, 100'000, 250'000, 500'000, 1'000'000,
     2'500'000, 5'000'000, 10'000'000, 30'000'000, 60'000'000},
    1000};
inline constexpr Family kRequestBytes{
    "countersign_request_bytes",
    "Bytes of requests' bodies.",
    Type::kHistogram,
    {COUNTERSIGN_REQUEST_LABELS},
    {0, 256, 1024, 4096, 16'384, 65'536, 1'048'576, 16'777'216, 268'435'456}};
inline constexpr Family kResponseBytes{
    "countersign_response_bytes",
    "Bytes of responses' bodies.",
    Type::kHistogram,
    {COUNTERSIGN_REQUEST_LABELS},
    {0, 256, 1024, 4096, 16'384, 65'536, 1'048'576, 16'777'216, 268'435'456}};
inline constexpr Family kRequestMessages{
    "countersign_request_messages_total",
    "Messages that callers have sent in gRPC calls, counted as they pass.",
    Type::kCounter,
    {COUNTERSIGN_REQUEST_LABELS}};
inline constexpr Family kResponseMessages{
    "countersign_response_messages_total",
    "Messages that were sent back in gRPC calls, counted as they pass.",
    Type::kCounter,
    {COUNTERSIGN_REQUEST_LABELS}};

#undef COUNTERSIGN_REQUEST_LABELS

// --- access log and traces ----------------------------------------------------------------------

inline constexpr Family kAccessLogDropped{
    "countersign_access_log_dropped_total",
    "Lines of the access log that were lost: full (the writer does not keep up), write_failed "
    "(disk full, reader gone).",
    Type::kCounter,
    {"reason"}};
inline constexpr Family kSpansExported{"countersign_trace_spans_exported_total",
                                       "Spans that the collector has taken.",
                                       Type::kCounter,
                                       {}};
inline constexpr Family kSpansDropped{
    "countersign_trace_spans_dropped_total",
    "Spans that were lost: full (the exporter does not keep up), refused (the collector's answer), "
    "unavailable (no answer).",
    Type::kCounter,
    {"reason"}};

// --- all of them, in the order of the reference
// ---------------------------------------------------

inline constexpr const Family* kFamilies[] = {
    &kStatsSeriesCapped,
    &kBuildInfo,
    &kProcessStart,
    &kProcessResident,
    &kProcessOpenFds,
    &kReady,
    &kCertificateExpiry,
    &kCertificateNotAfter,
    &kTrustAnchorExpiry,
    &kIdentityRotations,
    &kIdentityRequests,
    &kIdentityRefusals,
    &kIdentityRejected,
    &kIdentityStreamFailures,
    &kIdentityConnected,
    &kTrustBundleEpoch,
    &kDenyListEpoch,
    &kXdsConnected,
    &kXdsLastAnswer,
    &kXdsUpdates,
    &kXdsStreamFailures,
    &kXdsSubscriptions,
    &kTcpOpened,
    &kTcpClosed,
    &kTcpSent,
    &kTcpReceived,
    &kRequests,
    &kRequestDuration,
    &kRequestBytes,
    &kResponseBytes,
    &kRequestMessages,
    &kResponseMessages,
    &kAccessLogDropped,
    &kSpansExported,
    &kSpansDropped,
    &kConnectionsActive,
    &kConnectionsHeld,
    &kTunnels,
    &kOutboundRefused,
    &kInboundRefused,
    &kPlaintextCallers,
    &kTlsHandshakes,
    &kTlsHandshakeFailures,
    &kPeerCertificateNotAfter,
    &kHttpConnections,
    &kHttpRequestsActive,
    &kHttpRefused,
    &kOverload,
    &kClusterConnections,
    &kClusterConnectionsOpened,
    &kClusterConnectFailures,
    &kClusterOverflow,
    &kClusterHosts,
    &kClusterEjections,
    &kClusterEjectionsRefused,
    &kClusterHealthChecks,
    &kClusterRetries,
    &kClusterRetriesSucceeded,
    &kClusterRetriesRefused,
    &kClusterMirrored,
    &kClusterFaults,
};

}  // namespace countersign::stats

#endif  // COUNTERSIGN_PROXY_STATS_FAMILIES_H_
