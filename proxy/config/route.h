// What happens to an HTTP request: RouteConfiguration as the proxy holds it. Pure, immutable data,
// checked when it was translated: every regular expression compiles, every cluster is named.
// Meanings are those of Envoy's route.v3.
#ifndef COUNTERSIGN_PROXY_CONFIG_ROUTE_H_
#define COUNTERSIGN_PROXY_CONFIG_ROUTE_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "re2/re2.h"

namespace countersign::config {

using Milliseconds = std::chrono::milliseconds;

// How a string is judged. Regular expressions match the whole string.
struct StringMatch {
  enum class Kind : uint8_t { kExact, kPrefix, kSuffix, kContains, kRegex, kPresent };
  Kind kind = Kind::kExact;
  std::string text;
  std::shared_ptr<const re2::RE2> regex;  // kRegex
  bool ignore_case = false;               // not for kRegex
  bool invert = false;
};

struct HeaderMatch {
  std::string name;  // lower case; `:method`, `:authority`, `:path`, `:scheme` too
  StringMatch match;
};

struct QueryMatch {
  std::string name;
  StringMatch match;
};

struct PathMatch {
  // kPathPrefix is Gateway API's (Envoy's path_separated_prefix): `/a` matches `/a` and `/a/b`, not
  // `/ab`.
  enum class Kind : uint8_t { kPrefix, kPathPrefix, kExact, kRegex };
  Kind kind = Kind::kPrefix;
  std::string text = "/";
  std::shared_ptr<const re2::RE2> regex;
  bool ignore_case = false;
};

struct RouteMatch {
  PathMatch path;
  std::string method;  // empty: any
  std::vector<HeaderMatch> headers;
  std::vector<QueryMatch> query;
  bool grpc = false;  // only requests of content-type application/grpc
};

// Changes of header fields, in the order remove, set, add.
struct HeaderChanges {
  struct Header {
    std::string name;   // lower case
    std::string value;  // literal
  };
  std::vector<std::string> remove;
  std::vector<Header> set;
  std::vector<Header> add;
  bool empty() const { return remove.empty() && set.empty() && add.empty(); }
};

struct WeightedCluster {
  std::string cluster;
  uint32_t weight = 1;
  HeaderChanges request_headers;
  HeaderChanges response_headers;
};

// What a request's hash is made of, for ring hash and Maglev. The first that yields anything and is
// terminal ends it.
struct HashPolicy {
  enum class Kind : uint8_t { kHeader, kCookie, kSourceIp, kQuery };
  Kind kind = Kind::kHeader;
  std::string name;  // header (lower case), cookie, query parameter
  bool terminal = false;
  // kCookie: when set and the client has none, one with this life and path is set.
  std::optional<std::chrono::seconds> cookie_ttl;
  std::string cookie_path;
};

struct RetryPolicy {
  // An or of these (Envoy's retry_on).
  enum On : uint32_t {
    k5xx = 1,
    kGatewayError = 2,  // 502, 503, 504
    kConnectFailure = 4,
    kRefusedStream = 8,
    kReset = 16,
    kResetBeforeRequest = 32,  // nothing of the request was sent
    kRetriable4xx = 64,        // 409
    kRetriableStatusCodes = 128,
    kGrpcCancelled = 256,
    kGrpcDeadlineExceeded = 512,
    kGrpcInternal = 1024,
    kGrpcResourceExhausted = 2048,
    kGrpcUnavailable = 4096,
  };
  uint32_t on = 0;
  uint32_t num_retries = 1;
  std::vector<uint16_t> status_codes;
  Milliseconds per_try_timeout{0};       // 0: none
  Milliseconds per_try_idle_timeout{0};  // 0: none
  Milliseconds backoff_base{25};
  Milliseconds backoff_max{250};
  bool other_hosts = true;  // a retry prefers hosts that were not tried
};
// What a route without a policy of its own gets: only what certainly never reached an application
// is tried again.
inline constexpr uint32_t kDefaultRetryOn =
    RetryPolicy::kConnectFailure | RetryPolicy::kRefusedStream | RetryPolicy::kResetBeforeRequest;

struct FaultPolicy {
  uint32_t delay_per_million = 0;
  Milliseconds delay{0};
  uint32_t abort_per_million = 0;
  uint16_t abort_status = 0;
  int abort_grpc_status = -1;  // instead of abort_status for gRPC requests
};

struct MirrorPolicy {
  std::string cluster;
  uint32_t per_million = 1'000'000;
};

struct RedirectAction {
  uint16_t status = 301;
  std::string scheme;  // empty: kept
  std::string host;
  uint32_t port = 0;
  std::string path;         // replaces path (and query, if it has one)
  std::string prefix;       // replaces the matched prefix
  bool has_prefix = false;  // `prefix` may be empty
  bool strip_query = false;
};

struct DirectResponseAction {
  uint16_t status = 200;
  std::string body;
};

struct ForwardAction {
  std::vector<WeightedCluster> clusters;  // at least one
  uint64_t total_weight = 0;

  // Rewrites, of which at most one of the path's.
  std::string prefix_rewrite;
  bool has_prefix_rewrite = false;
  std::string path_rewrite;                       // the whole path, query kept
  std::shared_ptr<const re2::RE2> regex_rewrite;  // with `substitution` (\1 …)
  std::string substitution;
  std::string host_rewrite;

  Milliseconds timeout{0};       // of the whole request, retries included; 0: none
  Milliseconds idle_timeout{0};  // without a byte in either direction; 0: the connection manager's
  // Upper bound for grpc-timeout, which is honoured always; 0: none.
  Milliseconds max_grpc_timeout{0};
  RetryPolicy retry{.on = kDefaultRetryOn, .num_retries = 2};
  std::vector<HashPolicy> hash;
  std::vector<MirrorPolicy> mirrors;
  bool upgrade_websocket = true;
};

struct Route {
  enum class Action : uint8_t { kForward, kRedirect, kDirectResponse };
  std::string name;  // for logs, metrics and traces; the resource and rule that it came from
  RouteMatch match;
  Action action = Action::kForward;
  ForwardAction forward;
  RedirectAction redirect;
  DirectResponseAction direct;
  HeaderChanges request_headers;
  HeaderChanges response_headers;
  FaultPolicy fault;
};

struct VirtualHost {
  std::string name;
  // Lower case, without a port unless the port matters: `a.b`, `*.b` (suffix), `a.*` (prefix), `*`.
  // The most specific wins: exact, longest suffix, longest prefix, `*`.
  std::vector<std::string> domains;
  std::vector<Route> routes;  // the first that matches
  HeaderChanges request_headers;
  HeaderChanges response_headers;
};

struct RouteConfiguration {
  std::string name;
  std::vector<VirtualHost> virtual_hosts;
  HeaderChanges request_headers;
  HeaderChanges response_headers;
};

}  // namespace countersign::config

#endif  // COUNTERSIGN_PROXY_CONFIG_ROUTE_H_
