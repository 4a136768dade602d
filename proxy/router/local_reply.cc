#include "proxy/router/local_reply.h"

#include "absl/strings/str_cat.h"
#include "proxy/router/reasons.h"

namespace countersign::router {
namespace {

constexpr int kGrpcDeadlineExceeded = 4;

std::string Endpoint(const ReplySubject& subject) {
  if (subject.endpoint.empty()) return absl::StrCat("an endpoint of `", subject.cluster, "`");
  return absl::StrCat("the endpoint ", subject.endpoint, " of `", subject.cluster, "`");
}

std::string Route(const ReplySubject& subject) {
  return subject.route.empty() ? std::string("the route")
                               : absl::StrCat("the route `", subject.route, "`");
}

// How often it was tried, and why no more often.
std::string Tries(const ReplySubject& subject) {
  std::string out;
  if (subject.tries > 1) absl::StrAppend(&out, " It was tried ", subject.tries, " times.");
  if (!subject.no_retry.empty()) {
    absl::StrAppend(&out, " It was not tried again: ", subject.no_retry, ".");
  }
  return out;
}

}  // namespace

ResponseFlags FlagsOf(http::StreamEnd end) {
  switch (end) {
    case http::StreamEnd::kFinished:
      break;
    case http::StreamEnd::kPeerReset:
    case http::StreamEnd::kRefused:
      return kUpstreamReset;
    case http::StreamEnd::kConnectionLost:
      return kUpstreamTermination;
    case http::StreamEnd::kProtocolError:
    case http::StreamEnd::kLimit:
      return kUpstreamProtocol;
  }
  return kUpstreamProtocol;
}

absl::string_view ReasonOf(http::StreamEnd end) {
  switch (end) {
    case http::StreamEnd::kPeerReset:
      return kReasonUpstreamReset;
    case http::StreamEnd::kRefused:
      return kReasonStreamRefused;
    case http::StreamEnd::kConnectionLost:
      return kReasonConnectionLost;
    case http::StreamEnd::kLimit:
      return kReasonUpstreamLimit;
    case http::StreamEnd::kFinished:
    case http::StreamEnd::kProtocolError:
      break;
  }
  return kReasonUpstreamProtocol;
}

ResponseFlags FlagsOf(Expired what) {
  return what == Expired::kIdle ? kStreamIdleTimeout : kUpstreamTimeout;
}

absl::string_view ReasonOf(Expired what) {
  switch (what) {
    case Expired::kRoute:
      return kReasonTimeout;
    case Expired::kGrpcDeadline:
      return kReasonGrpcDeadline;
    case Expired::kTry:
      return kReasonPerTryTimeout;
    case Expired::kTryIdle:
      return kReasonPerTryIdle;
    case Expired::kIdle:
      break;
  }
  return kReasonIdle;
}

LocalReply NoRouteReply(const RouteChoice& choice, const http::RequestHead& head) {
  LocalReply reply{.status = 404, .flags = kNoRoute, .reason = kReasonNoRoute};
  if (choice.virtual_host == nullptr) {
    reply.sentence =
        absl::StrCat("no virtual host takes the authority `", head.authority,
                     "`; call the service by one of its names, or add a route for this one");
  } else {
    reply.sentence =
        absl::StrCat("no route of the virtual host `", choice.virtual_host->name,
                     "` takes this request by its path, method, headers and query; change the "
                     "request, or add a route that takes it");
  }
  return reply;
}

LocalReply NoClusterReply(const ReplySubject& subject) {
  return {.status = 503,
          .flags = kNoCluster,
          .reason = kReasonNoCluster,
          .sentence = absl::StrCat(Route(subject), " leads to ",
                                   subject.cluster.empty()
                                       ? std::string("no cluster that has a weight")
                                       : absl::StrCat("the cluster `", subject.cluster,
                                                      "`, which this proxy does not know"),
                                   "; look whether the route names a service that exists")};
}

LocalReply NoHealthyEndpointReply(const ReplySubject& subject) {
  return {.status = 503,
          .flags = kNoHealthyUpstream,
          .reason = kReasonNoHealthyEndpoint,
          .sentence = absl::StrCat("`", subject.cluster,
                                   "` has no endpoint that may be used; look whether its "
                                   "workloads run, are ready, and pass their health checks.",
                                   Tries(subject))};
}

LocalReply PoolFailureReply(const ReplySubject& subject, upstream::PoolFailure failure,
                            absl::string_view explanation) {
  LocalReply reply{.status = 503};
  switch (failure) {
    case upstream::PoolFailure::kOverflow:
      reply.flags = kUpstreamOverflow;
      reply.reason = kReasonUpstreamOverflow;
      reply.sentence = absl::StrCat("a circuit breaker of `", subject.cluster, "` is open");
      break;
    case upstream::PoolFailure::kConnect:
      reply.flags = kUpstreamConnectionFailure;
      reply.reason = kReasonConnectFailure;
      reply.sentence = absl::StrCat("no connection to ", Endpoint(subject), "; nothing was sent");
      break;
    case upstream::PoolFailure::kNoIdentity:
      reply.flags = kUpstreamConnectionFailure;
      reply.reason = kReasonNoIdentity;
      reply.sentence =
          absl::StrCat("the proxy has no certificate yet, and ", Endpoint(subject),
                       " takes none but mutual TLS; look at the proxy's identity in its log");
      break;
  }
  if (!explanation.empty()) absl::StrAppend(&reply.sentence, ": ", explanation);
  absl::StrAppend(&reply.sentence, ".", Tries(subject));
  return reply;
}

LocalReply BrokenStreamReply(const ReplySubject& subject, http::StreamEnd end,
                             absl::string_view why) {
  LocalReply reply{.status = 503, .flags = FlagsOf(end), .reason = ReasonOf(end)};
  const std::string endpoint = Endpoint(subject);
  switch (end) {
    case http::StreamEnd::kPeerReset:
      reply.sentence = absl::StrCat(endpoint,
                                    " reset the request before it answered; look for the "
                                    "reason in its log.");
      break;
    case http::StreamEnd::kRefused:
      reply.sentence = absl::StrCat(endpoint,
                                    " refused the request before it began with it: it is full or "
                                    "about to stop; the request may be repeated.");
      break;
    case http::StreamEnd::kConnectionLost:
      reply.sentence = absl::StrCat("the connection to ", endpoint, " ended before it answered",
                                    why.empty() ? "" : ": ", why,
                                    "; whether the application has acted on the request is not "
                                    "known.");
      break;
    case http::StreamEnd::kLimit:
      reply.status = 502;
      reply.sentence = absl::StrCat(endpoint,
                                    " answered with more header fields or bytes than the "
                                    "proxy's limits for a head allow.");
      break;
    case http::StreamEnd::kFinished:
    case http::StreamEnd::kProtocolError:
      reply.status = 502;
      reply.sentence = absl::StrCat(endpoint,
                                    " answered with what is no HTTP response by the protocol's "
                                    "rules; look whether the port speaks the declared protocol.");
      break;
  }
  absl::StrAppend(&reply.sentence, Tries(subject));
  return reply;
}

LocalReply TimeoutReply(const ReplySubject& subject, Expired what, std::chrono::milliseconds limit,
                        bool request_complete) {
  LocalReply reply{.status = 504, .flags = FlagsOf(what), .reason = ReasonOf(what)};
  const std::string endpoint = Endpoint(subject);
  switch (what) {
    case Expired::kRoute:
      reply.sentence =
          absl::StrCat(endpoint, " did not answer within ", limit.count(), " ms, the time-out of ",
                       Route(subject), "; raise it there, or look why the endpoint is slow.");
      break;
    case Expired::kGrpcDeadline:
      reply.grpc_status = kGrpcDeadlineExceeded;
      reply.sentence = absl::StrCat(endpoint, " did not answer within ", limit.count(),
                                    " ms, the deadline of the call (grpc-timeout, bounded by ",
                                    Route(subject), ").");
      break;
    case Expired::kTry:
      reply.sentence = absl::StrCat(endpoint, " did not answer within ", limit.count(),
                                    " ms, the time-out for one try of ", Route(subject), ".");
      break;
    case Expired::kTryIdle:
      reply.sentence =
          absl::StrCat("nothing came from or went to ", endpoint, " for ", limit.count(),
                       " ms, the idle time-out for one try of ", Route(subject), ".");
      break;
    case Expired::kIdle:
      if (!request_complete) reply.status = 408;
      reply.sentence = absl::StrCat(
          "nothing moved for ", limit.count(), " ms, the idle time-out of ", Route(subject),
          request_complete ? absl::StrCat(", while ", endpoint, " was to answer.")
                           : std::string(", while the client's request was incomplete."));
      break;
  }
  absl::StrAppend(&reply.sentence, Tries(subject));
  return reply;
}

LocalReply FaultReply(const ReplySubject& subject, const config::FaultPolicy& fault, bool grpc) {
  LocalReply reply{.status = fault.abort_status, .flags = kFaultInjected, .reason = kReasonFault};
  if (grpc && fault.abort_grpc_status >= 0) {
    reply.grpc_status = fault.abort_grpc_status;
    reply.status = 200;
  }
  if (reply.status == 0) reply.status = 503;
  reply.sentence = absl::StrCat("the fault policy of ", Route(subject),
                                " answered this request; no endpoint has seen it");
  return reply;
}

LocalReply UpgradeForbiddenReply(const ReplySubject& subject, absl::string_view protocol) {
  return {.status = 403,
          .flags = {},
          .reason = kReasonUpgradeForbidden,
          .sentence = absl::StrCat(Route(subject), " does not allow the upgrade to `", protocol,
                                   "`; allow it there")};
}

LocalReply RewriteLimitReply(const ReplySubject& subject) {
  return {.status = 400,
          .flags = kInvalidRequest,
          .reason = kReasonRewriteLimit,
          .sentence = absl::StrCat("rewriting the path as ", Route(subject),
                                   " says takes more replacements, or makes it longer, than the "
                                   "proxy's limits allow")};
}

LocalReply BufferLimitReply(const ReplySubject& subject, size_t limit) {
  return {.status = 413,
          .flags = kLocalReset,
          .reason = kReasonBufferLimit,
          .sentence = absl::StrCat("more than ", limit, " bytes of the request's body came while ",
                                   Endpoint(subject),
                                   " could not take them yet; send less at once, or wait for "
                                   "the proxy to take it")};
}

}  // namespace countersign::router
