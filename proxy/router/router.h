// One request on its way to an endpoint, and its response on the way back: picks cluster and host,
// waits for a stream, retries where that is safe, keeps time-outs.
#ifndef COUNTERSIGN_PROXY_ROUTER_ROUTER_H_
#define COUNTERSIGN_PROXY_ROUTER_ROUTER_H_

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>

#include "absl/strings/string_view.h"
#include "api/net/address.h"
#include "api/spiffe/verifier.h"
#include "proxy/event/dispatcher.h"
#include "proxy/http/codec.h"
#include "proxy/router/response_flags.h"
#include "proxy/router/route_table.h"
#include "proxy/upstream/cluster.h"

namespace countersign::router {

// An answer that the proxy gives itself. The connection manager makes it a response, with
// `x-countersign-reason` and `x-countersign-flags`, or grpc-status for gRPC.
struct LocalReply {
  uint16_t status = 503;
  ResponseFlags flags;
  // A token for the header and the metrics, such as `no_healthy_endpoint`; static.
  absl::string_view reason;
  // For the body and the log: what happened, to whom, which limit or policy, what to do. Nothing
  // that an attacker would not know.
  std::string sentence;
  int grpc_status = -1;  // -1: made from `status`
};

// Of the request's downstream side: the connection manager's request. May call anything on the
// router in any callback, also Cancel.
class Downstream {
 public:
  virtual void OnInformational(http::ResponseHead& head) = 0;
  // `head` lives until OnResponseEnd or Cancel; may be changed.
  virtual void OnResponse(http::ResponseHead& head, bool end) = 0;
  virtual void OnResponseData(buffer::Buffer& data, bool end) = 0;
  virtual void OnResponseTrailers(http::HeaderMap& trailers) = 0;
  // Instead of OnResponse.
  virtual void OnLocalReply(const LocalReply& reply) = 0;
  // The upstream broke off after OnResponse: the downstream stream must be reset.
  virtual void OnResponseBroken(ResponseFlags flags, absl::string_view reason) = 0;
  // Counted: the upstream cannot take more of the request's body now, or can again.
  virtual void OnUpstreamReadDisable(bool disable) = 0;

 protected:
  ~Downstream() = default;
};

// Where a route's cluster names lead.
class ClusterSource {
 public:
  // Null: there is none of that name.
  virtual upstream::Cluster* FindCluster(absl::string_view name) = 0;

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
  upstream::Host* host = nullptr;  // of the last attempt; held until Reset
  const upstream::Cluster* cluster = nullptr;
  net::Address upstream_remote;
  std::shared_ptr<const spiffe::PeerSvid> upstream_peer;
  http::Instant first_byte{};       // of the response's head
  http::Instant attempt_started{};  // of the last attempt
};

// One a request, a member of the connection manager's request, and used again for the next (so a
// request allocates nothing). On its worker's thread.
class Router final {
 public:
  explicit Router(event::Dispatcher& dispatcher);
  ~Router();

  // `head` outlives the request; the router changes it (rewrites, header changes) once, before the
  // first attempt. `end`: no body. Redirects, direct responses and faults are answered from in
  // here, through OnLocalReply or OnResponse.
  void Start(Downstream& downstream, const RequestContext& context, http::RequestHead& head,
             bool end);
  void SendData(buffer::Buffer& data, bool end);
  void SendTrailers(http::HeaderMap& trailers);
  // Counted: the downstream cannot take more of the response now, or can again.
  void ReadDisable(bool disable);
  // The client is gone, or the answer was made elsewhere. No callback follows.
  void Cancel();
  // Makes it ready for the next request.
  void Reset();

  const RequestInfo& info() const { return info_; }

 private:
  RequestInfo info_;
};

}  // namespace countersign::router

#endif  // COUNTERSIGN_PROXY_ROUTER_ROUTER_H_
