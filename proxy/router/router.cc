#include "proxy/router/router.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "proxy/buffer/byte_stream.h"
#include "proxy/http/grpc.h"
#include "proxy/router/header_changes.h"
#include "proxy/router/path_rewrite.h"
#include "proxy/router/reasons.h"
#include "proxy/router/redirect.h"
#include "proxy/router/route_match.h"
#include "proxy/router/weighted_choice.h"

namespace countersign::router {

using http::HeaderId;
namespace {

// Nothing when there is no such field; what is no status is UNKNOWN.
std::optional<http::GrpcStatus> GrpcStatusOf(const http::HeaderMap& headers) {
  const http::Field* field = headers.Find(HeaderId::kGrpcStatus);
  if (field == nullptr) return std::nullopt;
  return http::ParseGrpcStatus(field->value).value_or(http::GrpcStatus::kUnknown);
}

// HTTP at the other sidecar, not a tunnel to the application itself.
bool SpeaksMeshHttp(const config::Endpoint& endpoint) {
  return endpoint.transport == config::EndpointTransport::kTls ||
         (endpoint.transport == config::EndpointTransport::kHbone && endpoint.mesh_http);
}

}  // namespace

Router::Router(event::Dispatcher& dispatcher)
    : dispatcher_(dispatcher),
      mirrors_(dispatcher),
      deadlines_(dispatcher, this, [](void* self) { static_cast<Router*>(self)->OnTimer(); }) {}

Router::~Router() { Reset(); }

void Router::Start(Downstream& downstream, const RequestContext& context, http::RequestHead& head,
                   bool end) {
  downstream_ = &downstream;
  context_ = context;
  head_ = &head;
  request_complete_ = end;
  deadlines_.Begin();
  ++request_;
  if (context.choice.route == nullptr) return Reply(NoRouteReply(context.choice, head));
  grpc_ = http::IsGrpc(head.headers);
  if (grpc_) {
    const auto timeout = http::ParseGrpcTimeout(head.headers.Get(HeaderId::kGrpcTimeout));
    if (timeout.has_value()) {
      const auto wanted = std::chrono::ceil<std::chrono::milliseconds>(*timeout);
      const std::chrono::milliseconds most = action().max_grpc_timeout;
      deadlines_.LimitCall(most.count() > 0 ? std::min(wanted, most) : wanted);
    }
  }
  const config::FaultPolicy& fault = route().fault;
  if (fault.delay.count() > 0 && dice_.PerMillion(fault.delay_per_million)) {
    info_.flags.Add(kDelayInjected);
    CountFault(upstream::RequestEvent::kFaultDelay);
    phase_ = Phase::kDelayed;
    deadlines_.Wait(fault.delay);
    return deadlines_.Arm();
  }
  AfterDelay();
}

void Router::CountFault(upstream::RequestEvent fault) {
  upstream::Cluster* const cluster = context_.clusters->DestinationCluster();
  if (cluster != nullptr) cluster->OnRequestEvent(fault);
}

void Router::AfterDelay() {
  phase_ = Phase::kTrying;
  const config::FaultPolicy& fault = route().fault;
  if (dice_.PerMillion(fault.abort_per_million)) {
    CountFault(upstream::RequestEvent::kFaultAbort);
    return Reply(FaultReply(Subject(), fault, grpc_));
  }
  switch (route().action) {
    case config::Route::Action::kForward:
      return Forward();
    case config::Route::Action::kRedirect:
      BuildLocation(route().redirect, route().match.path, *head_, scratch_);
      return Answer(kReasonRedirect, route().redirect.status, {}, scratch_);
    case config::Route::Action::kDirectResponse:
      return Answer(kReasonDirectResponse, route().direct.status, route().direct.body, {});
  }
}

void Router::Answer(absl::string_view reason, uint16_t status, absl::string_view body,
                    absl::string_view location) {
  phase_ = Phase::kResponding;
  local_head_.Clear();
  local_head_.status = status;
  // RFC 9110, section 8.6: neither has a length.
  const bool may_have_body = status >= 200 && status != 204 && status != 304;
  if (may_have_body) {
    local_head_.headers.Add(HeaderId::kContentLength, absl::AlphaNum(body.size()).Piece());
  }
  if (may_have_body && !body.empty()) {
    local_head_.headers.AddBorrowed(HeaderId::kContentType, "text/plain");
  }
  if (!location.empty()) local_head_.headers.Add(HeaderId::kLocation, location);
  ApplyResponseChanges(context_.choice, nullptr, local_head_);
  local_head_.headers.AddBorrowed(HeaderId::kCountersignReason, reason);
  info_.reason = reason;
  info_.first_byte = dispatcher_.now();
  const bool end = !may_have_body || body.empty() || head_->is_head();
  const uint64_t request = request_;
  if (end) Close();
  downstream_->OnResponse(local_head_, end);
  if (end || request != request_ || phase_ != Phase::kResponding) return;
  buffer::Buffer data;
  data.Append(body);
  Close();
  downstream_->OnResponseData(data, true);
}

void Router::Forward() {
  weighted_ = ChooseCluster(action(), dice_);
  if (weighted_ == nullptr) return Reply(NoClusterReply(Subject()));
  info_.cluster = cluster_ = context_.clusters->FindCluster(weighted_->cluster);
  if (cluster_ == nullptr) return Reply(NoClusterReply(Subject()));
  if (!head_->upgrade.empty() && !action().upgrade_websocket) {
    return Reply(UpgradeForbiddenReply(Subject(), head_->upgrade));
  }
  hash_ = HashRequest(action().hash, *head_, context_.source, dice_);
  if (!PrepareHead()) return;
  retry_.Begin(action().retry);
  if (!head_->opens_tunnel()) mirrors_.Choose(action().mirrors, dice_);
  uint64_t content_length = 0;
  (void)absl::SimpleAtoi(head_->headers.Get(HeaderId::kContentLength), &content_length);
  body_.Begin(retry_.possible() || mirrors_.wanted(), content_length);
  deadlines_.LimitIdle(action().idle_timeout.count() > 0 ? action().idle_timeout
                                                         : context_.default_idle_timeout);
  if (request_complete_ || head_->opens_tunnel()) deadlines_.LimitTotal(action().timeout);
  const uint64_t request = request_;
  StartTry();
  // After the original, so that it never waits for a copy.
  if (request == request_ && request_complete_) StartMirrors();
}

bool Router::PrepareHead() {
  switch (RewritePath(action(), route().match.path, head_->path, scratch_)) {
    case PathRewrite::kUnchanged:
      break;
    case PathRewrite::kChanged:
      head_->path = head_->headers.Store(scratch_);
      break;
    case PathRewrite::kLimit:
      Reply(RewriteLimitReply(Subject()));
      return false;
  }
  if (!action().host_rewrite.empty()) head_->authority = action().host_rewrite;
  ApplyRequestChanges(context_.choice, weighted_, *head_);
  return true;
}

void Router::StartTry() {
  phase_ = Phase::kTrying;
  const absl::Span<const upstream::Host* const> tried =
      action().retry.other_hosts ? absl::MakeConstSpan(tried_)
                                 : absl::Span<const upstream::Host* const>();
  upstream::Host* const host = cluster_->ChooseHost({.hash = hash_.hash, .tried = tried});
  if (host == nullptr) return Reply(NoHealthyEndpointReply(Subject()));
  SetHost(host);
  if (retry_.possible()) tried_.push_back(host);
  ++info_.attempts;
  info_.attempt_started = dispatcher_.now();
  UpstreamRequest& attempt = attempts_.Begin(head_->protocol);
  deadlines_.BeginTry(action().retry.per_try_idle_timeout);
  LimitTry();
  deadlines_.Arm();
  cluster_->NewStream(*host, attempt);
}

void Router::OnReady(http::ClientStream& stream,
                     const upstream::UpstreamConnectionInfo& connection) {
  info_.upstream_remote = connection.remote;
  info_.upstream_peer = connection.peer;
  info_.sidecar = connection.peer != nullptr && SpeaksMeshHttp(info_.host->endpoint);
  const std::optional<std::chrono::milliseconds> left = deadlines_.call_left();
  if (left.has_value() &&
      *left != http::ParseGrpcTimeout(head_->headers.Get(HeaderId::kGrpcTimeout))) {
    // What is left of it is what the endpoint has.
    head_->headers.Set(HeaderId::kGrpcTimeout, http::FormatGrpcTimeout(*left));
  }
  // The sidecar at the other end asks its application in the protocol of ours, where nobody
  // declared one.
  if (cluster_->config().protocol == config::AppProtocol::kAuto &&
      head_->protocol == http::Protocol::kHttp2 && SpeaksMeshHttp(info_.host->endpoint)) {
    if (!head_->headers.Has(HeaderId::kCountersignDownstream)) {
      head_->headers.AddBorrowed(HeaderId::kCountersignDownstream,
                                 http::ProtocolName(http::Protocol::kHttp2));
    }
  } else {
    head_->headers.Remove(HeaderId::kCountersignDownstream);
  }
  const bool tunnel = head_->opens_tunnel();
  attempt()->end_sent =
      !tunnel && request_complete_ && body_.held() == 0 && body_.trailers() == nullptr;
  stream.SendHeaders(*head_, attempt()->end_sent);
  if (downstream_disabled_ > 0) stream.ReadDisable(true);
  if (!tunnel) SendPending();
}

void Router::OnInformational(http::ResponseHead& head) {
  deadlines_.Moved();
  downstream_->OnInformational(head);
}

void Router::OnResponseHead(http::ResponseHead& head, bool end) {
  deadlines_.Moved();
  attempt()->response_started = true;
  attempt()->response_ended = end;
  const std::optional<http::GrpcStatus> grpc_status =
      grpc_ ? GrpcStatusOf(head.headers) : std::optional<http::GrpcStatus>();
  if (head_->is_connect()) {
    tunnel_ = head.status >= 200 && head.status < 300 && !end;
  } else if (!head_->upgrade.empty()) {
    tunnel_ = head.status == 101 && !end;
  }
  if (!grpc_ || grpc_status.has_value() || head.status != 200) {
    ReportOutcome(upstream::Outcome::Kind::kResponse,
                  grpc_status.has_value() ? http::HttpStatusOfGrpc(*grpc_status) : head.status);
  } else if (end) {
    ReportGrpcOutcome(head.headers);
  }
  // Only a sidecar can say it: the far one takes these words away from its application's answers.
  const bool unreached =
      info_.sidecar && NeverReachedApplication(head.headers.Get(HeaderId::kCountersignFlags));
  const bool again = !tunnel_ && (retry_.Wants(head.status, grpc_status) ||
                                  (unreached && retry_.Wants(TryFailure::kConnect)));
  if (TryAgain(again)) return;
  if (!again && retry_.done() > 0) {
    cluster_->OnRequestEvent(upstream::RequestEvent::kRetrySucceeded);
  }

  phase_ = Phase::kResponding;
  deadlines_.LimitTry(std::chrono::milliseconds(0));
  if (!mirrors_.wanted()) body_.StopKeeping();
  info_.first_byte = dispatcher_.now();
  if (tunnel_) {
    // A tunnel lasts as long as its two ends want. Only the route's own idle time-out ends it.
    deadlines_.LimitTotal(std::chrono::milliseconds(0));
    deadlines_.LimitIdle(action().idle_timeout);
  } else if (head_->opens_tunnel()) {
    body_.Clear();  // what was for the tunnel is for nobody now
  }
  ApplyResponseChanges(context_.choice, weighted_, head);
  if (hash_.new_cookie != nullptr) {
    FormatSetCookie(*hash_.new_cookie, hash_.cookie_value, scratch_);
    head.headers.Add(HeaderId::kSetCookie, scratch_);
  }
  const uint64_t request = request_;
  downstream_->OnResponse(head, end);
  if (request != request_ || phase_ != Phase::kResponding) return;
  if (end) {
    FinishResponse();
  } else if (tunnel_) {
    SendPending();
  } else {
    UpdateFlow();
  }
}

void Router::OnResponseBody(buffer::Buffer& data, bool end) {
  deadlines_.Moved();
  if (end) {
    attempt()->response_ended = true;
    if (grpc_) ReportGrpcOutcome(http::HeaderMap());
  }
  const uint64_t request = request_;
  downstream_->OnResponseData(data, end);
  if (end && request == request_ && phase_ == Phase::kResponding) FinishResponse();
}

void Router::OnResponseTrailers(http::HeaderMap& trailers) {
  deadlines_.Moved();
  attempt()->response_ended = true;
  if (grpc_) ReportGrpcOutcome(trailers);
  const uint64_t request = request_;
  downstream_->OnResponseTrailers(trailers);
  if (request == request_ && phase_ == Phase::kResponding) FinishResponse();
}

void Router::FinishResponse() {
  // A tunnel's other direction goes on, or its last bytes are on their way; then its stream ends.
  if (!tunnel_) Close();
}

void Router::OnStreamWritable() {
  deadlines_.Moved();
  UpdateFlow();
}

void Router::OnNoStream(upstream::PoolFailure failure, const std::string& explanation) {
  const bool connect = failure == upstream::PoolFailure::kConnect;
  if (connect) ReportOutcome(upstream::Outcome::Kind::kConnectFailure);
  // A full pool, and a proxy without a certificate, are no better the next time.
  OnTryFailed(connect ? TryFailure::kConnect : TryFailure::kLocal,
              [&] { return PoolFailureReply(Subject(), failure, explanation); });
}

void Router::OnStreamEnd(UpstreamRequest& attempt, http::StreamEnd end) {
  if (!attempts_.OnStreamEnd(attempt)) return;
  if (end == http::StreamEnd::kFinished && tunnel_ && !attempt.end_sent) {
    end = http::StreamEnd::kPeerReset;  // who wants no more of a request breaks off a tunnel
  }
  if (attempt.response_ended && end == http::StreamEnd::kFinished) return Close();
  ReportOutcome(upstream::Outcome::Kind::kReset);
  if (phase_ == Phase::kResponding) return Break(FlagsOf(end), ReasonOf(end));
  // A tunnel that was never opened has carried nothing to the application.
  const bool refused = end == http::StreamEnd::kRefused ||
                       attempt.connection->close_reason == buffer::CloseReason::kTunnelRefused;
  OnTryFailed(refused ? TryFailure::kRefused : TryFailure::kReset, [&, this] {
    return BrokenStreamReply(Subject(), end, attempt.connection->close_explanation);
  });
}

// The request's body.

void Router::SendData(buffer::Buffer& data, bool end) {
  if (phase_ == Phase::kIdle || phase_ == Phase::kDone) return data.Clear();
  deadlines_.Moved();
  if (end) request_complete_ = true;
  if (sending()) {
    body_.Keep(data);
    attempt()->end_sent = end;
    attempt()->stream->SendData(data, end);
  } else if (phase_ == Phase::kResponding) {
    data.Clear();  // the endpoint has refused the tunnel
  } else {
    if (body_.held() + data.size() > kMaxHeld) return Reply(BufferLimitReply(Subject(), kMaxHeld));
    body_.Hold(data);
  }
  if (end) OnRequestComplete();
  UpdateFlow();
}

void Router::SendTrailers(http::HeaderMap& trailers) {
  if (phase_ == Phase::kIdle || phase_ == Phase::kDone) return;
  deadlines_.Moved();
  request_complete_ = true;
  body_.SetTrailers(trailers);
  if (sending()) {
    attempt()->end_sent = true;
    attempt()->stream->SendTrailers(trailers);
  }
  OnRequestComplete();
}

void Router::SendPending() {
  if (body_.held() > 0) {
    buffer::Buffer data;
    body_.Take(data);
    attempt()->end_sent = request_complete_ && body_.trailers() == nullptr;
    attempt()->stream->SendData(data, attempt()->end_sent);
  }
  if (body_.trailers() != nullptr) {
    attempt()->end_sent = true;
    attempt()->stream->SendTrailers(*body_.trailers());
  } else if (request_complete_ && !attempt()->end_sent) {
    buffer::Buffer nothing;
    attempt()->end_sent = true;
    attempt()->stream->SendData(nothing, true);
  }
  UpdateFlow();
}

void Router::OnRequestComplete() {
  // Forward does it after the delay; a tunnel has no end of its request.
  if (phase_ == Phase::kDelayed || head_->opens_tunnel()) return;
  deadlines_.LimitTotal(action().timeout);
  if (phase_ == Phase::kTrying) LimitTry();
  deadlines_.Arm();
  StartMirrors();
}

void Router::UpdateFlow() {
  const size_t waiting = sending() ? attempt()->stream->unsent() : body_.held();
  const bool disable = waiting > buffer::kHighWatermark;
  if (disable == upstream_disabled_) return;
  upstream_disabled_ = disable;
  downstream_->OnUpstreamReadDisable(disable);
}

void Router::ReadDisable(bool disable) {
  downstream_disabled_ += disable ? 1 : -1;
  if (downstream_disabled_ != (disable ? 1 : 0)) return;
  if (attempt() != nullptr && attempt()->stream != nullptr) attempt()->stream->ReadDisable(disable);
}

void Router::StartMirrors() {
  if (!mirrors_.wanted()) return;
  mirrors_.Start(*context_.clusters, *head_, body_, hash_.hash, action().timeout);
  if (phase_ == Phase::kResponding) body_.StopKeeping();
}

// Retries and ends.

bool Router::TryAgain(bool wanted) {
  if (!wanted) return false;
  if (!retry_.possible()) {
    if (retry_.exhausted()) {
      info_.flags.Add(kUpstreamRetryLimit);
      cluster_->OnRequestEvent(upstream::RequestEvent::kRetryLimit);
      no_retry_ = "the policy's limit of retries is reached";
    }
    return false;
  }
  if (!body_.whole()) {
    cluster_->OnRequestEvent(upstream::RequestEvent::kRetryBody);
    no_retry_ = "more of its body was sent than the 64 KiB that are kept for a repetition";
    return false;
  }
  EndRetry();
  if (!cluster_->BeginRetry()) {
    info_.flags.Add(kUpstreamOverflow);
    no_retry_ = "the retry budget of the cluster is used up";
    return false;
  }
  retry_open_ = true;
  LetGo();
  body_.Rewind();
  phase_ = Phase::kBackoff;
  deadlines_.Wait(retry_.Take(dice_));
  deadlines_.Arm();
  return true;
}

void Router::EndRetry() {
  if (std::exchange(retry_open_, false)) cluster_->EndRetry();
}

void Router::LetGo() {
  deadlines_.EndTry();
  attempts_.LetGo();
}

void Router::SetHost(upstream::Host* host) {
  if (host != nullptr) upstream::Cluster::Hold(*host);
  upstream::Cluster::Release(std::exchange(info_.host, host));
}

void Router::ReportOutcome(upstream::Outcome::Kind kind, uint16_t status) {
  if (attempt() == nullptr || std::exchange(attempt()->reported, true)) return;
  upstream::Outcome outcome{.kind = kind, .status = status};
  if (kind == upstream::Outcome::Kind::kResponse) {
    const event::Instant at = phase_ == Phase::kResponding ? info_.first_byte : dispatcher_.now();
    outcome.latency =
        std::max(std::chrono::microseconds(1),
                 std::chrono::duration_cast<std::chrono::microseconds>(at - info_.attempt_started));
  }
  cluster_->OnOutcome(*info_.host, outcome);
}

void Router::ReportGrpcOutcome(const http::HeaderMap& fields) {
  // A call that ended without a status is UNKNOWN to gRPC.
  ReportOutcome(upstream::Outcome::Kind::kResponse,
                http::HttpStatusOfGrpc(GrpcStatusOf(fields).value_or(http::GrpcStatus::kUnknown)));
}

ReplySubject Router::Subject() const {
  ReplySubject subject{.route = route().name, .tries = info_.attempts, .no_retry = no_retry_};
  if (weighted_ != nullptr) subject.cluster = weighted_->cluster;
  if (info_.host != nullptr) subject.endpoint = info_.host->endpoint.address.ToString();
  return subject;
}

void Router::Reply(LocalReply reply) {
  info_.flags.Add(reply.flags);
  reply.flags = info_.flags;
  Close();
  downstream_->OnLocalReply(reply);
}

void Router::Break(ResponseFlags flags, absl::string_view reason) {
  info_.flags.Add(flags);
  Close();
  downstream_->OnResponseBroken(flags, reason);
}

void Router::Close() {
  phase_ = Phase::kDone;
  deadlines_.End();
  LetGo();
  EndRetry();
  body_.Clear();
  mirrors_.Forget();
}

void Router::Cancel() {
  if (phase_ == Phase::kIdle || phase_ == Phase::kDone) return;
  // A client that has heard enough says nothing against the endpoint.
  if (attempt() != nullptr && attempt()->response_started) {
    ReportOutcome(upstream::Outcome::Kind::kResponse, 200);
  }
  Close();
}

void Router::Finish() {
  if (tunnel_ && attempt() != nullptr && attempt()->all_given()) attempts_.Linger();
  Cancel();
}

void Router::Reset() {
  Cancel();
  ++request_;
  SetHost(nullptr);
  info_ = {};
  phase_ = Phase::kIdle;
  downstream_ = nullptr;
  context_ = {};
  head_ = nullptr;
  request_complete_ = grpc_ = tunnel_ = upstream_disabled_ = false;
  downstream_disabled_ = 0;
  weighted_ = nullptr;
  cluster_ = nullptr;
  hash_ = {};
  no_retry_ = {};
  tried_.clear();
  local_head_.Clear();
}

// Time-outs.

void Router::LimitTry() {
  // A try has its time once the client has said all that it wants.
  if (request_complete_ || head_->opens_tunnel()) {
    deadlines_.LimitTry(action().retry.per_try_timeout);
  }
}

void Router::OnTimer() {
  if (phase_ == Phase::kIdle || phase_ == Phase::kDone) return;
  const std::optional<Deadlines::Due> due = deadlines_.Next();
  if (!due.has_value()) return;
  if (!due->waited) return OnExpired(due->what, due->limit);
  if (phase_ == Phase::kDelayed) return AfterDelay();
  StartTry();
}

void Router::OnExpired(Expired what, std::chrono::milliseconds limit) {
  // A client that sends nothing says nothing against the endpoint.
  if (request_complete_ || what != Expired::kIdle) {
    ReportOutcome(upstream::Outcome::Kind::kTimeout);
  }
  if (phase_ == Phase::kResponding) {
    if (what != Expired::kGrpcDeadline) return Break(FlagsOf(what), ReasonOf(what));
    // The status comes at a call's end, so a call that has begun can still be told it.
    info_.flags.Add(FlagsOf(what));
    local_head_.headers.AddBorrowed(HeaderId::kGrpcStatus, "4");
    local_head_.headers.AddBorrowed(HeaderId::kGrpcMessage, "the call's deadline has passed");
    Close();
    return downstream_->OnResponseTrailers(local_head_.headers);
  }
  const bool complete = request_complete_;
  const auto reply = [&] { return TimeoutReply(Subject(), what, limit, complete); };
  if (what == Expired::kTry || what == Expired::kTryIdle) {
    return OnTryFailed(TryFailure::kTimeout, reply);
  }
  Reply(reply());
}

}  // namespace countersign::router
