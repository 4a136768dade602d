#include "proxy/router/router.h"

#include <algorithm>
#include <utility>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "proxy/buffer/byte_stream.h"
#include "proxy/router/grpc_status.h"
#include "proxy/router/grpc_timeout.h"
#include "proxy/router/header_changes.h"
#include "proxy/router/path_rewrite.h"
#include "proxy/router/redirect.h"
#include "proxy/router/route_match.h"
#include "proxy/router/weighted_choice.h"

namespace countersign::router {

using http::HeaderId;

Router::Router(event::Dispatcher& dispatcher)
    : dispatcher_(dispatcher),
      timer_(dispatcher.timers(), this, [](void* self) { static_cast<Router*>(self)->OnTimer(); }) {
}

Router::~Router() {
  Reset();
  for (const auto& attempt : ending_) {
    if (attempt->stream != nullptr) attempt->stream->Reset();
  }
}

void Router::Start(Downstream& downstream, const RequestContext& context, http::RequestHead& head,
                   bool end) {
  downstream_ = &downstream;
  context_ = context;
  head_ = &head;
  request_complete_ = end;
  started_ = last_move_ = dispatcher_.now();
  ++request_;
  if (context.choice.route == nullptr) return Reply(NoRouteReply(context.choice, head));
  grpc_ = IsGrpc(head.headers);
  if (grpc_) {
    auto timeout = ParseGrpcTimeout(head.headers.Get(HeaderId::kGrpcTimeout));
    if (timeout.has_value()) {
      const std::chrono::milliseconds most = action().max_grpc_timeout;
      grpc_deadline_ = started_ + (most.count() > 0 ? std::min(*timeout, most) : *timeout);
    }
  }
  const config::FaultPolicy& fault = route().fault;
  if (fault.delay.count() > 0 && dice_.PerMillion(fault.delay_per_million)) {
    info_.flags.Add(kDelayInjected);
    phase_ = Phase::kDelayed;
    wait_until_ = started_ + fault.delay;
    return ArmTimer();
  }
  AfterDelay();
}

void Router::AfterDelay() {
  wait_until_ = kNever;
  phase_ = Phase::kTrying;
  const config::FaultPolicy& fault = route().fault;
  if (dice_.PerMillion(fault.abort_per_million)) {
    return Reply(FaultReply(Subject(), fault, grpc_));
  }
  switch (route().action) {
    case config::Route::Action::kForward:
      return Forward();
    case config::Route::Action::kRedirect:
      return Redirect();
    case config::Route::Action::kDirectResponse:
      return AnswerDirectly();
  }
}

void Router::Redirect() {
  BuildLocation(route().redirect, route().match.path, *head_, scratch_);
  Answer(route().redirect.status, {}, scratch_);
}

void Router::AnswerDirectly() { Answer(route().direct.status, route().direct.body, {}); }

void Router::Answer(uint16_t status, absl::string_view body, absl::string_view location) {
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
  cluster_ = context_.clusters->FindCluster(weighted_->cluster);
  if (cluster_ == nullptr) return Reply(NoClusterReply(Subject()));
  if (!head_->upgrade.empty() && !action().upgrade_websocket) {
    return Reply(UpgradeForbiddenReply(Subject(), head_->upgrade));
  }
  hash_ = HashRequest(action().hash, *head_, context_.source, dice_);
  if (!PrepareHead()) return;
  retry_.Begin(action().retry);
  if (!head_->opens_tunnel()) {
    for (size_t i = 0; i < action().mirrors.size() && i < 32; ++i) {
      if (dice_.PerMillion(action().mirrors[i].per_million)) mirror_mask_ |= 1u << i;
    }
  }
  uint64_t content_length = 0;
  (void)absl::SimpleAtoi(head_->headers.Get(HeaderId::kContentLength), &content_length);
  body_.Begin(retry_.possible() || mirror_mask_ != 0, content_length);
  idle_ = action().idle_timeout.count() > 0 ? action().idle_timeout : context_.default_idle_timeout;
  if (request_complete_ || head_->opens_tunnel()) StartTotalTimer();
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
  wait_until_ = kNever;
  const absl::Span<const upstream::Host* const> tried =
      action().retry.other_hosts ? absl::MakeConstSpan(tried_)
                                 : absl::Span<const upstream::Host* const>();
  upstream::Host* const host = cluster_->ChooseHost({.hash = hash_.hash, .tried = tried});
  if (host == nullptr) return Reply(NoHealthyEndpointReply(Subject()));
  SetHost(host);
  if (retry_.possible()) tried_.push_back(host);
  ++info_.attempts;
  info_.attempt_started = dispatcher_.now();
  attempt_ = TakeAttempt();
  attempt_->Begin(head_->protocol);
  StartTryTimers();
  ArmTimer();
  cluster_->NewStream(*host, *attempt_);
}

void Router::OnReady(http::ClientStream& stream,
                     const upstream::UpstreamConnectionInfo& connection) {
  info_.upstream_remote = connection.remote;
  info_.upstream_peer = connection.peer;
  if (grpc_deadline_ != kNever) {
    // What is left of it is what the endpoint has.
    const auto left =
        std::max(std::chrono::milliseconds(0),
                 std::chrono::ceil<std::chrono::milliseconds>(grpc_deadline_ - dispatcher_.now()));
    if (ParseGrpcTimeout(head_->headers.Get(HeaderId::kGrpcTimeout)) != left) {
      char text[kGrpcTimeoutBytes];
      head_->headers.Set(HeaderId::kGrpcTimeout, FormatGrpcTimeout(left, text));
    }
  }
  // The sidecar at the other end asks its application in the protocol of ours, where nobody
  // declared one.
  if (cluster_->config().protocol == config::AppProtocol::kAuto &&
      head_->protocol == http::Protocol::kHttp2 &&
      info_.host->endpoint.transport != config::EndpointTransport::kPlaintext) {
    if (!head_->headers.Has(HeaderId::kCountersignDownstream)) {
      head_->headers.AddBorrowed(HeaderId::kCountersignDownstream,
                                 http::ProtocolName(http::Protocol::kHttp2));
    }
  } else {
    head_->headers.Remove(HeaderId::kCountersignDownstream);
  }
  const bool tunnel = head_->opens_tunnel();
  attempt_->end_sent =
      !tunnel && request_complete_ && body_.held() == 0 && body_.trailers() == nullptr;
  stream.SendHeaders(*head_, attempt_->end_sent);
  if (downstream_disabled_ > 0) stream.ReadDisable(true);
  if (!tunnel) SendPending();
}

void Router::OnInformational(http::ResponseHead& head) {
  last_move_ = dispatcher_.now();
  downstream_->OnInformational(head);
}

void Router::OnResponseHead(http::ResponseHead& head, bool end) {
  last_move_ = dispatcher_.now();
  attempt_->response_started = true;
  attempt_->response_ended = end;
  const std::optional<int> grpc_status = grpc_ ? GrpcStatusOf(head.headers) : std::optional<int>();
  if (head_->is_connect()) {
    tunnel_ = head.status >= 200 && head.status < 300 && !end;
  } else if (!head_->upgrade.empty()) {
    tunnel_ = head.status == 101 && !end;
  }
  if (!grpc_ || grpc_status.has_value() || head.status != 200) {
    ReportOutcome(upstream::Outcome::Kind::kResponse,
                  grpc_status.has_value() ? GrpcToHttpStatus(*grpc_status) : head.status);
  } else if (end) {
    ReportGrpcOutcome(head.headers);
  }
  if (TryAgain(!tunnel_ && retry_.Wants(head.status, grpc_status))) return;

  phase_ = Phase::kResponding;
  try_deadline_ = kNever;
  if (mirror_mask_ == 0) body_.StopKeeping();
  info_.first_byte = dispatcher_.now();
  if (tunnel_) {
    // A tunnel lasts as long as its two ends want. Only the route's own idle time-out ends it.
    total_deadline_ = kNever;
    idle_ = action().idle_timeout;
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
  }
}

void Router::OnResponseBody(buffer::Buffer& data, bool end) {
  last_move_ = dispatcher_.now();
  if (end) {
    attempt_->response_ended = true;
    if (grpc_) ReportGrpcOutcome(http::HeaderMap());
  }
  const uint64_t request = request_;
  downstream_->OnResponseData(data, end);
  if (end && request == request_ && phase_ == Phase::kResponding) FinishResponse();
}

void Router::OnResponseTrailers(http::HeaderMap& trailers) {
  last_move_ = dispatcher_.now();
  attempt_->response_ended = true;
  if (grpc_) ReportGrpcOutcome(trailers);
  const uint64_t request = request_;
  downstream_->OnResponseTrailers(trailers);
  if (request == request_ && phase_ == Phase::kResponding) FinishResponse();
}

void Router::FinishResponse() {
  // A tunnel's other direction goes on.
  if (tunnel_ && !attempt_->end_sent) return;
  Close();
}

void Router::OnStreamWritable() {
  last_move_ = dispatcher_.now();
  UpdateFlow();
}

void Router::OnNoStream(upstream::PoolFailure failure, const std::string& explanation) {
  switch (failure) {
    case upstream::PoolFailure::kOverflow:
      return OnTryFailed(TryFailure::kOverflow,
                         [&] { return PoolFailureReply(Subject(), failure, explanation); });
    case upstream::PoolFailure::kNoIdentity:
      return OnTryFailed(TryFailure::kNoIdentity,
                         [&] { return PoolFailureReply(Subject(), failure, explanation); });
    case upstream::PoolFailure::kConnect:
      ReportOutcome(upstream::Outcome::Kind::kConnectFailure);
      return OnTryFailed(TryFailure::kConnect,
                         [&] { return PoolFailureReply(Subject(), failure, explanation); });
  }
}

void Router::OnStreamEnd(UpstreamRequest& attempt, http::StreamEnd end) {
  if (attempt_.get() != &attempt) {
    const auto at = std::find_if(ending_.begin(), ending_.end(),
                                 [&attempt](const auto& one) { return one.get() == &attempt; });
    if (at == ending_.end()) return;
    spare_.push_back(std::move(*at));
    ending_.erase(at);
    return;
  }
  if (attempt.response_ended && end == http::StreamEnd::kFinished) return Close();
  if (phase_ == Phase::kResponding) {
    ReportOutcome(upstream::Outcome::Kind::kReset);
    return Break(FlagsOf(end), ReasonOf(end));
  }
  ReportOutcome(upstream::Outcome::Kind::kReset);
  OnTryFailed(end == http::StreamEnd::kRefused ? TryFailure::kRefused : TryFailure::kReset,
              [&] { return BrokenStreamReply(Subject(), end); });
}

// --- the request's body
// ---------------------------------------------------------------------------

void Router::SendData(buffer::Buffer& data, bool end) {
  if (phase_ == Phase::kIdle || phase_ == Phase::kDone) return data.Clear();
  last_move_ = dispatcher_.now();
  if (end) request_complete_ = true;
  if (sending()) {
    body_.Keep(data);
    attempt_->end_sent = end;
    attempt_->stream->SendData(data, end);
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
  last_move_ = dispatcher_.now();
  request_complete_ = true;
  body_.SetTrailers(trailers);
  if (sending()) {
    attempt_->end_sent = true;
    attempt_->stream->SendTrailers(trailers);
  }
  OnRequestComplete();
}

void Router::SendPending() {
  if (body_.held() > 0) {
    buffer::Buffer data;
    body_.Take(data);
    attempt_->end_sent = request_complete_ && body_.trailers() == nullptr;
    attempt_->stream->SendData(data, attempt_->end_sent);
  }
  if (body_.trailers() != nullptr) {
    attempt_->end_sent = true;
    attempt_->stream->SendTrailers(*body_.trailers());
  } else if (request_complete_ && !attempt_->end_sent) {
    buffer::Buffer nothing;
    attempt_->end_sent = true;
    attempt_->stream->SendData(nothing, true);
  }
  UpdateFlow();
}

void Router::OnRequestComplete() {
  if (phase_ == Phase::kDelayed || tunnel_) return;  // Forward does it after the delay
  StartTotalTimer();
  if (phase_ == Phase::kTrying) StartTryTimers();
  ArmTimer();
  StartMirrors();
}

void Router::UpdateFlow() {
  const size_t waiting = sending() ? attempt_->stream->unsent() : body_.held();
  const bool disable = waiting > buffer::kHighWatermark;
  if (disable == upstream_disabled_) return;
  upstream_disabled_ = disable;
  downstream_->OnUpstreamReadDisable(disable);
}

void Router::ReadDisable(bool disable) {
  downstream_disabled_ += disable ? 1 : -1;
  if (downstream_disabled_ != (disable ? 1 : 0)) return;
  if (attempt_ != nullptr && attempt_->stream != nullptr) attempt_->stream->ReadDisable(disable);
}

void Router::StartMirrors() {
  const uint32_t mask = std::exchange(mirror_mask_, 0);
  if (mask == 0 || !body_.whole() || body_.size() > RequestBody::kMaxKept) return;
  buffer::Buffer body;
  body_.CopyTo(body);
  for (size_t i = 0; i < action().mirrors.size(); ++i) {
    if ((mask & (1u << i)) == 0) continue;
    upstream::Cluster* const cluster = context_.clusters->FindCluster(action().mirrors[i].cluster);
    if (cluster == nullptr) continue;
    Mirror* mirror = nullptr;
    for (const auto& one : mirrors_) {
      if (!one->active()) mirror = one.get();
    }
    if (mirror == nullptr) {
      if (mirrors_.size() == kMaxMirrors) return;
      mirror = mirrors_.emplace_back(std::make_unique<Mirror>(dispatcher_)).get();
    }
    mirror->Start(*cluster, *head_, body, body_.trailers(), hash_.hash,
                  action().timeout.count() > 0 ? action().timeout : kMirrorTimeout);
  }
  if (phase_ == Phase::kResponding) body_.StopKeeping();
}

// --- retries and ends
// -----------------------------------------------------------------------------

bool Router::TryAgain(bool wanted) {
  if (!wanted) return false;
  if (!retry_.possible()) {
    if (retry_.exhausted()) {
      info_.flags.Add(kUpstreamRetryLimit);
      no_retry_ = "the policy's limit of retries is reached";
    }
    return false;
  }
  if (!body_.whole()) {
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
  wait_until_ = dispatcher_.now() + retry_.Take(dice_);
  ArmTimer();
  return true;
}

void Router::EndRetry() {
  if (std::exchange(retry_open_, false)) cluster_->EndRetry();
}

std::unique_ptr<UpstreamRequest> Router::TakeAttempt() {
  if (spare_.empty()) return std::make_unique<UpstreamRequest>(*this);
  std::unique_ptr<UpstreamRequest> attempt = std::move(spare_.back());
  spare_.pop_back();
  return attempt;
}

void Router::LetGo() {
  try_deadline_ = kNever;
  if (attempt_ == nullptr) return;
  std::unique_ptr<UpstreamRequest> attempt = std::move(attempt_);
  attempt->Cancel();
  if (attempt->stream != nullptr) {
    if (attempt->response_ended && attempt->end_sent && attempt->stream->unsent() == 0) {
      // All is said; the codec is about to tell that the stream is over, and an HTTP/1 connection
      // can be used again. A reset would end it.
      ending_.push_back(std::move(attempt));
      return;
    }
    std::exchange(attempt->stream, nullptr)->Reset();
  }
  spare_.push_back(std::move(attempt));
}

void Router::SetHost(upstream::Host* host) {
  if (host != nullptr) upstream::Cluster::Hold(*host);
  upstream::Cluster::Release(std::exchange(info_.host, host));
}

void Router::ReportOutcome(upstream::Outcome::Kind kind, uint16_t status) {
  if (attempt_ == nullptr || std::exchange(attempt_->reported, true)) return;
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
  constexpr int kUnknown = 2;  // what gRPC makes of a call that ended without a status
  ReportOutcome(upstream::Outcome::Kind::kResponse,
                GrpcToHttpStatus(GrpcStatusOf(fields).value_or(kUnknown)));
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
  wait_until_ = total_deadline_ = grpc_deadline_ = kNever;
  LetGo();
  EndRetry();
  body_.Clear();
  mirror_mask_ = 0;
}

void Router::Cancel() {
  if (phase_ == Phase::kIdle || phase_ == Phase::kDone) return;
  // A client that has heard enough says nothing against the endpoint.
  if (attempt_ != nullptr && attempt_->response_started) {
    ReportOutcome(upstream::Outcome::Kind::kResponse, 200);
  }
  Close();
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

// --- time-outs
// ------------------------------------------------------------------------------------

void Router::StartTotalTimer() {
  if (action().timeout.count() > 0) total_deadline_ = dispatcher_.now() + action().timeout;
}

void Router::StartTryTimers() {
  try_idle_ = action().retry.per_try_idle_timeout;
  const std::chrono::milliseconds timeout = action().retry.per_try_timeout;
  if (timeout.count() > 0 && (request_complete_ || head_->opens_tunnel())) {
    try_deadline_ = dispatcher_.now() + timeout;
  }
}

event::Instant Router::NextDeadline() const {
  event::Instant next =
      std::min({wait_until_, total_deadline_, grpc_deadline_, try_deadline_, kNever});
  if (idle_.count() > 0) next = std::min(next, last_move_ + idle_);
  if (try_idle_.count() > 0 && attempt_ != nullptr) {
    next = std::min(next, std::max(last_move_, info_.attempt_started) + try_idle_);
  }
  return next;
}

void Router::ArmTimer() {
  const event::Instant next = NextDeadline();
  if (next >= armed_for_) return;
  armed_for_ = next;
  const auto after = std::chrono::ceil<std::chrono::milliseconds>(next - dispatcher_.now());
  timer_.Arm(std::max(std::chrono::milliseconds(0), after));
}

void Router::OnTimer() {
  armed_for_ = kNever;
  if (phase_ == Phase::kIdle || phase_ == Phase::kDone) return;
  const event::Instant now = dispatcher_.now();
  if (now >= grpc_deadline_) {
    return OnExpired(Expired::kGrpcDeadline, std::chrono::duration_cast<std::chrono::milliseconds>(
                                                 grpc_deadline_ - started_));
  }
  if (now >= total_deadline_) return OnExpired(Expired::kRoute, action().timeout);
  if (now >= wait_until_) return phase_ == Phase::kDelayed ? AfterDelay() : StartTry();
  if (now >= try_deadline_) return OnExpired(Expired::kTry, action().retry.per_try_timeout);
  if (try_idle_.count() > 0 && attempt_ != nullptr &&
      now >= std::max(last_move_, info_.attempt_started) + try_idle_) {
    return OnExpired(Expired::kTryIdle, try_idle_);
  }
  if (idle_.count() > 0 && now >= last_move_ + idle_) return OnExpired(Expired::kIdle, idle_);
  ArmTimer();
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
