// Answers that the proxy gives itself, and what they say.
#ifndef COUNTERSIGN_PROXY_ROUTER_LOCAL_REPLY_H_
#define COUNTERSIGN_PROXY_ROUTER_LOCAL_REPLY_H_

#include <chrono>
#include <cstdint>
#include <string>

#include "absl/strings/string_view.h"
#include "proxy/http/codec.h"
#include "proxy/router/deadlines.h"
#include "proxy/router/response_flags.h"
#include "proxy/router/route_table.h"
#include "proxy/upstream/http_stream_request.h"

namespace countersign::router {

// An answer that the proxy gives itself. The connection manager makes it a response, with
// `x-countersign-reason` and `x-countersign-flags`, or grpc-status for gRPC.
struct LocalReply {
  uint16_t status = 503;
  ResponseFlags flags;
  // A token for the header and the metrics, such as `no_healthy_endpoint` (reasons.h); static.
  absl::string_view reason;
  // For the body and the log: what happened, to whom, which limit or policy, what to do. Nothing
  // that an attacker would not know.
  std::string sentence;
  int grpc_status = -1;  // -1: made from `status`
};

// Of whom the sentences speak. All may be empty.
struct ReplySubject {
  absl::string_view route;
  absl::string_view cluster;
  std::string endpoint;  // its address
  uint32_t tries = 0;
  // Why it was not tried again although the policy would: `the retry budget of the cluster is used
  // up`. Empty: nothing.
  absl::string_view no_retry;
};

LocalReply NoRouteReply(const RouteChoice& choice, const http::RequestHead& head);
LocalReply NoClusterReply(const ReplySubject& subject);
LocalReply NoHealthyEndpointReply(const ReplySubject& subject);
LocalReply PoolFailureReply(const ReplySubject& subject, upstream::PoolFailure failure,
                            absl::string_view explanation);
// `why`: what is known of the connection's end; may be empty.
LocalReply BrokenStreamReply(const ReplySubject& subject, http::StreamEnd end,
                             absl::string_view why);

// `request_complete`: the client has sent all of it, so it is the endpoint that is slow.
LocalReply TimeoutReply(const ReplySubject& subject, Expired what, std::chrono::milliseconds limit,
                        bool request_complete);

LocalReply FaultReply(const ReplySubject& subject, const config::FaultPolicy& fault, bool grpc);
LocalReply UpgradeForbiddenReply(const ReplySubject& subject, absl::string_view protocol);
LocalReply RewriteLimitReply(const ReplySubject& subject);
LocalReply BufferLimitReply(const ReplySubject& subject, size_t limit);

// How a stream's end stands in the flags and among the reasons, for a response that broke off.
ResponseFlags FlagsOf(http::StreamEnd end);
absl::string_view ReasonOf(http::StreamEnd end);
absl::string_view ReasonOf(Expired what);
ResponseFlags FlagsOf(Expired what);

}  // namespace countersign::router

#endif  // COUNTERSIGN_PROXY_ROUTER_LOCAL_REPLY_H_
