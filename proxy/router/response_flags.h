// Why a response is as it is, in Envoy's letters, which dashboards and people know.
#ifndef COUNTERSIGN_PROXY_ROUTER_RESPONSE_FLAGS_H_
#define COUNTERSIGN_PROXY_ROUTER_RESPONSE_FLAGS_H_

#include <cstdint>
#include <string>

namespace countersign::router {

// One row a flag: name, letters, meaning. The reference is made from this table.
#define COUNTERSIGN_RESPONSE_FLAGS(ROW)                                            \
  ROW(kNoHealthyUpstream, "UH", "no endpoint of the cluster is healthy")           \
  ROW(kUpstreamConnectionFailure, "UF", "the connection to the endpoint failed")   \
  ROW(kUpstreamOverflow, "UO", "a circuit breaker or the pool's limit refused it") \
  ROW(kNoRoute, "NR", "no route matches")                                          \
  ROW(kUpstreamRetryLimit, "URX", "it was retried as often as the policy allows")  \
  ROW(kNoCluster, "NC", "the route's cluster does not exist")                      \
  ROW(kDownstreamTermination, "DC", "the client went away")                        \
  ROW(kUpstreamTimeout, "UT", "the endpoint did not answer in time")               \
  ROW(kUpstreamReset, "UR", "the endpoint reset the stream")                       \
  ROW(kUpstreamTermination, "UC", "the connection to the endpoint ended")          \
  ROW(kLocalReset, "LR", "the proxy reset the stream")                             \
  ROW(kDelayInjected, "DI", "a fault policy delayed it")                           \
  ROW(kFaultInjected, "FI", "a fault policy answered it")                          \
  ROW(kRateLimited, "RL", "a rate limit refused it")                               \
  ROW(kUnauthorized, "UAEX", "authorization refused it")                           \
  ROW(kStreamIdleTimeout, "SI", "nothing moved for too long")                      \
  ROW(kInvalidRequest, "IH", "the request's headers are invalid")                  \
  ROW(kDownstreamProtocol, "DPE", "the client broke the protocol")                 \
  ROW(kUpstreamProtocol, "UPE", "the endpoint broke the protocol")                 \
  ROW(kUpstreamMaxDuration, "UMSDR", "the stream reached its longest duration")    \
  ROW(kOverload, "OM", "the proxy sheds load")                                     \
  ROW(kDurationTimeout, "DT", "the request or connection reached its longest duration")

struct ResponseFlags {
  uint32_t bits = 0;

  bool empty() const { return bits == 0; }
  void Add(ResponseFlags other) { bits |= other.bits; }
  bool operator==(const ResponseFlags&) const = default;
  // `UF,URX` in the table's order; `-` when empty. Allocates nothing for none and for one.
  std::string ToString() const;
};

namespace response_flag_internal {
enum Index : uint8_t {
#define COUNTERSIGN_ROW(name, letters, meaning) name,
  COUNTERSIGN_RESPONSE_FLAGS(COUNTERSIGN_ROW)
#undef COUNTERSIGN_ROW
};
}  // namespace response_flag_internal

#define COUNTERSIGN_ROW(name, letters, meaning) \
  inline constexpr ResponseFlags name{1u << response_flag_internal::name};
COUNTERSIGN_RESPONSE_FLAGS(COUNTERSIGN_ROW)
#undef COUNTERSIGN_ROW

}  // namespace countersign::router

#endif  // COUNTERSIGN_PROXY_ROUTER_RESPONSE_FLAGS_H_
