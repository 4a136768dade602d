// One request on its way to an endpoint, and its response on the way back: picks cluster and host,
// waits for a stream, retries where that is safe, keeps time-outs.
#ifndef COUNTERSIGN_PROXY_ROUTER_ROUTER_H_
#define COUNTERSIGN_PROXY_ROUTER_ROUTER_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "absl/strings/string_view.h"
#include "absl/types/span.h"
#include "api/net/address.h"
#include "api/spiffe/verifier.h"
#include "proxy/event/dispatcher.h"
#include "proxy/http/codec.h"
#include "proxy/router/attempts.h"
#include "proxy/router/deadlines.h"
#include "proxy/router/dice.h"
#include "proxy/router/hash_policy.h"
#include "proxy/router/local_reply.h"
#include "proxy/router/mirror.h"
#include "proxy/router/request_body.h"
#include "proxy/router/response_flags.h"
#include "proxy/router/retry_state.h"
#include "proxy/router/route_table.h"
#include "proxy/upstream/cluster.h"

namespace countersign::router {

// Of the request's downstream side: the connection manager's request. May call anything on the
// router in any callback, also Cancel.
class Downstream {
 public:
  virtual void OnInformational(http::ResponseHead& head) = 0;
  // `head` lives until the response's end or Cancel; may be changed.
  virtual void OnResponse(http::ResponseHead& head, bool end) = 0;
  virtual void OnResponseData(buffer::Buffer& data, bool end) = 0;
  virtual void OnResponseTrailers(http::HeaderMap& trailers) = 0;
  // Instead of OnResponse.
  virtual void OnLocalReply(const LocalReply& reply) = 0;
  // The upstream broke off after OnResponse: the downstream stream must be reset.
  virtual void OnResponseBroken(ResponseFlags flags, absl::string_view reason) = 0;
  // The upstream cannot take more of the request's body now, or can again; each `true` is followed
  // by a `false`, unless the request ends before.
  virtual void OnUpstreamReadDisable(bool disable) = 0;

 protected:
  ~Downstream() = default;
};

// Where a route's cluster names lead.
class ClusterSource {
 public:
  // Null: there is none of that name.
  virtual upstream::Cluster* FindCluster(absl::string_view name) = 0;
  // The own one of the destination that was called, wherever its routes lead; null: there is none.
  virtual upstream::Cluster* DestinationCluster() = 0;

 protected:
  ~ClusterSource() = default;
};

// What the connection manager knows and the router needs.
struct RequestContext {
  ClusterSource* clusters = nullptr;
  RouteChoice choice;
  net::IpAddress source;  // for hash policies
  // A retry must not repeat what cannot be: the request arrived complete with its head (then it can
  // be sent again as it is).
  bool request_complete = false;
  std::chrono::milliseconds default_idle_timeout{0};
};

// What became of the request, for the log, the metrics and the trace.
struct RequestInfo {
  ResponseFlags flags;
  uint32_t attempts = 0;
  absl::string_view reason;        // of an answer that the route itself gives; static
  upstream::Host* host = nullptr;  // of the last attempt; held until Reset
  const upstream::Cluster* cluster = nullptr;
  net::Address upstream_remote;
  std::shared_ptr<const spiffe::PeerSvid> upstream_peer;
  bool sidecar = false;  // whose HTTP it is that the last attempt met; else an application's own
  http::Instant first_byte{};       // of the response's head
  http::Instant attempt_started{};  // of the last attempt
};

// One a request, a member of the connection manager's request, and used again for the next (so a
// request allocates nothing). On its worker's thread.
//
// Memory: what waits for the endpoint is at most kMaxHeld, and beyond buffer::kHighWatermark the
// downstream is asked to stop. Beside that, up to RequestBody::kMaxKept of the body are kept so
// that it can be sent again; of a larger body nothing is, and then a request that was sent is not
// tried again.
//
// A response that is complete before the request is goes downstream whole; the rest of the request
// is dropped. Tunnels (Upgrade, CONNECT) carry bytes only once the endpoint has agreed; their two
// directions end on their own.
class Router final {
 public:
  static constexpr size_t kMaxHeld = 1 << 20;

  explicit Router(event::Dispatcher& dispatcher);
  ~Router();
  Router(const Router&) = delete;
  Router& operator=(const Router&) = delete;

  // `head` outlives the request; the router changes it (rewrites, header changes) once, before the
  // first attempt. `end`: no body. Faults are answered from in here, through OnLocalReply;
  // redirects and direct responses through OnResponse, with info().attempts == 0.
  void Start(Downstream& downstream, const RequestContext& context, http::RequestHead& head,
             bool end);
  void SendData(buffer::Buffer& data, bool end);
  void SendTrailers(http::HeaderMap& trailers);
  // Counted: the downstream cannot take more of the response now, or can again.
  void ReadDisable(bool disable);
  // The client is gone, or the answer was made elsewhere. No callback follows.
  void Cancel();
  // The client has all of the response, and the router all of the request: of a tunnel the endpoint
  // still gets what it has not taken yet. No callback follows.
  void Finish();
  // Makes it ready for the next request.
  void Reset();
  // Nothing of the requests before is on its way any more.
  bool idle() const { return attempts_.idle(); }

  const RequestInfo& info() const { return info_; }

 private:
  friend class UpstreamRequest;
  enum class Phase : uint8_t {
    kIdle,
    kDelayed,     // by a fault policy
    kTrying,      // a try waits for its stream, or for its response
    kBackoff,     // until the next try
    kResponding,  // the response's head went downstream: no retry any more
    kDone,
  };

  // In the order in which they come.
  void CountFault(upstream::RequestEvent fault);
  void AfterDelay();
  void Answer(absl::string_view reason, uint16_t status, absl::string_view body,
              absl::string_view location);
  void Forward();
  bool PrepareHead();  // false: it was answered
  void StartTry();
  void OnReady(http::ClientStream& stream, const upstream::UpstreamConnectionInfo& connection);
  void OnNoStream(upstream::PoolFailure failure, const std::string& explanation);
  void OnInformational(http::ResponseHead& head);
  void OnResponseHead(http::ResponseHead& head, bool end);
  void OnResponseBody(buffer::Buffer& data, bool end);
  void OnResponseTrailers(http::HeaderMap& trailers);
  void OnStreamWritable();
  void OnStreamEnd(UpstreamRequest& attempt, http::StreamEnd end);

  // Of the request's body.
  bool sending() const {
    return attempt() != nullptr && attempt()->stream != nullptr &&
           (!head_->opens_tunnel() || tunnel_);
  }
  void SendPending();
  void OnRequestComplete();
  void UpdateFlow();

  // Of retries.
  bool TryAgain(bool wanted);
  template <typename MakeReply>
  void OnTryFailed(TryFailure failure, MakeReply make_reply) {
    if (!TryAgain(retry_.Wants(failure))) Reply(make_reply());
  }
  void EndRetry();
  void LetGo();  // of the present try
  void SetHost(upstream::Host* host);

  void StartMirrors();
  void ReportOutcome(upstream::Outcome::Kind kind, uint16_t status = 0);
  void ReportGrpcOutcome(const http::HeaderMap& fields);
  void FinishResponse();
  void Reply(LocalReply reply);
  void Break(ResponseFlags flags, absl::string_view reason);
  ReplySubject Subject() const;
  void Close();

  // Of time-outs.
  void LimitTry();
  void OnTimer();
  void OnExpired(Expired what, std::chrono::milliseconds limit);

  UpstreamRequest* attempt() const { return attempts_.present(); }
  const config::Route& route() const { return *context_.choice.route; }
  const config::ForwardAction& action() const { return context_.choice.route->forward; }

  event::Dispatcher& dispatcher_;
  Downstream* downstream_ = nullptr;
  RequestContext context_;
  http::RequestHead* head_ = nullptr;
  Phase phase_ = Phase::kIdle;
  bool request_complete_ = false;
  bool grpc_ = false;
  bool tunnel_ = false;               // the endpoint has agreed: bytes flow
  bool upstream_disabled_ = false;    // as the downstream was told
  bool retry_open_ = false;           // EndRetry is due
  uint32_t downstream_disabled_ = 0;  // count
  // Counts requests: whoever called back compares it, for the callback may have ended the request
  // and begun another one.
  uint64_t request_ = 0;

  const config::WeightedCluster* weighted_ = nullptr;
  upstream::Cluster* cluster_ = nullptr;
  RequestHash hash_;
  RetryState retry_;
  absl::string_view no_retry_;  // ReplySubject's
  std::vector<const upstream::Host*> tried_;
  RequestBody body_;

  Attempts attempts_{*this};
  Mirrors mirrors_;

  Deadlines deadlines_;

  http::ResponseHead local_head_;  // of redirects and direct responses
  std::string scratch_;
  Dice dice_;
  RequestInfo info_;
};

}  // namespace countersign::router

#endif  // COUNTERSIGN_PROXY_ROUTER_ROUTER_H_
