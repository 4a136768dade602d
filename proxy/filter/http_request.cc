#include "proxy/filter/http_request.h"

#include <utility>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "proxy/filter/client_cert_header.h"
#include "proxy/filter/http_connection_manager.h"
#include "proxy/filter/local_reply.h"
#include "proxy/http/grpc.h"
#include "proxy/http/path.h"
#include "proxy/trace/trace_context.h"

namespace countersign::filter {

using buffer::Buffer;
using http::HeaderId;
using http::RequestHead;

namespace {

// A request id that somebody else chose is kept up to this length.
constexpr size_t kMaxRequestId = 128;

// What only a sidecar may say of an answer: its client's sidecar goes by it.
void StripSidecarsWords(http::HeaderMap& headers) {
  headers.RemoveIf([](const http::Field& field) {
    return field.id == HeaderId::kCountersignReason || field.id == HeaderId::kCountersignFlags;
  });
}

http::PathRules RulesOf(const config::HttpOptions& options) {
  using Slashes = config::HttpOptions::EscapedSlashes;
  using Rule = http::PathRules::EscapedSlashes;
  return {options.merge_slashes, options.escaped_slashes == Slashes::kKeep     ? Rule::kKeep
                                 : options.escaped_slashes == Slashes::kReject ? Rule::kReject
                                                                               : Rule::kUnescape};
}

}  // namespace

HttpRequest::HttpRequest(HttpShared& shared) : shared_(shared), router_(shared.dispatcher()) {}

void HttpRequest::Start(HttpConnectionManager& connection, http::ServerStream& stream) {
  connection_ = &connection;
  stream_ = &stream;
  stream.SetHandler(this);
  started_ = last_activity_ = shared_.dispatcher().now();
  RequestHead& head = stream.request();
  grpc_ = http::IsGrpc(head.headers);
  tunnel_ = head.opens_tunnel();
  request_done_ = stream.request_complete();
  // What is in force now, for all of the request: it is judged and routed by one configuration.
  routes_ = &connection.owner_.http_routes();
  routes_->Ref();
  if (!Admit() || !Clean(head)) return;
  Name(head);
  Forward(head);
}

// The newest work is shed first.
bool HttpRequest::Admit() {
  const Overload::Limit limit = shared_.overload().RefusesRequest();
  if (limit == Overload::Limit::kNone) return true;
  const std::string sentence =
      limit == Overload::Limit::kMemory
          ? "the sidecar sheds load: too many bytes are on their way through it; try again later"
          : absl::StrCat("the sidecar sheds load: its limit of ",
                         shared_.overload().limits().max_requests,
                         " requests at a time is reached; try again later");
  connection_->owner_.OnHttpOverload(LimitLabel(limit), sentence);
  Reply({.status = 503, .flags = router::kOverload, .reason = "overload", .sentence = sentence});
  return false;
}

// What claims to be an identity or another sidecar's word is taken away, unless a sidecar said it;
// and the path is brought into the one form in which it is matched, judged and forwarded.
bool HttpRequest::Clean(RequestHead& head) {
  if (connection_->options_.inbound) {
    // What the caller's own application spoke, which decides what ours is spoken to in.
    const bool http2 = connection_->options_.by_sidecar
                           ? head.headers.Get(HeaderId::kCountersignDownstream) == "HTTP/2"
                           : head.protocol == http::Protocol::kHttp2;
    head.protocol = http2 ? http::Protocol::kHttp2 : http::Protocol::kHttp11;
  }
  StripClaims(head.headers);
  // HTTP/1.0 need not say it (RFC 9112, section 3.2), HTTP/2 must.
  if (head.authority.empty()) {
    head.authority = head.headers.Store(connection_->options_.destination.ToString());
  }
  path_ = head.path;
  if (head.path.empty() || head.path == "*") return true;  // CONNECT; OPTIONS for the whole server
  const http::NormalisedPath normal =
      http::NormalisePath(head.path, RulesOf(connection_->owner_.http_options()), head.headers);
  if (normal.refusal == nullptr) {
    path_ = head.path = normal.path;
    return true;
  }
  const std::string sentence = absl::StrCat("the request's path is refused: ", normal.refusal);
  connection_->owner_.OnHttpRefused("path_refused", sentence);
  Reply({.status = 400,
         .flags = router::kInvalidRequest,
         .reason = "path_refused",
         .sentence = sentence});
  return false;
}

// For whoever looks for this request later: an id, its place in a trace, and, where the application
// is called, who calls.
void HttpRequest::Name(RequestHead& head) {
  const absl::string_view id = head.headers.Get(HeaderId::kXRequestId);
  if (id.empty() || id.size() > kMaxRequestId) {
    if (connection_->owner_.http_options().generate_request_id || !id.empty()) {
      head.headers.Set(HeaderId::kXRequestId, shared_.request_ids().Next());
    }
  }
  trace_ =
      shared_.tracer().Begin(head.headers, connection_->owner_.http_options().trace_per_million);
  if (!connection_->client_cert_.empty()) {
    head.headers.AddBorrowed(connection_->client_cert_name_, connection_->client_cert_);
  }
  if (!connection_->client_cert_chain_.empty()) {
    head.headers.AddBorrowed(HeaderId::kClientCertChain, connection_->client_cert_chain_);
  }
}

void HttpRequest::Forward(RequestHead& head) {
  choice_ = routes_->table().Find(head);
  router::RequestContext context;
  context.clusters = routes_;
  context.choice = choice_;
  context.source = connection_->options_.client.ip();
  context.request_complete = request_done_;
  context.default_idle_timeout = connection_->owner_.http_options().stream_idle_timeout;
  routed_ = true;
  router_.Start(*this, context, head, request_done_);
}

void HttpRequest::Touch() { last_activity_ = shared_.dispatcher().now(); }

void HttpRequest::OnData(Buffer& data, bool end) {
  Touch();
  received_ += data.size();
  if (grpc_) {
    request_messages_ += requests_in_.Count(data);
    TellMessages();
  }
  request_done_ = request_done_ || end;
  // After the answer only a tunnel's other direction goes on.
  if (!routed_ || (answered_ && !tunnel_)) return data.Clear();
  router_.SendData(data, end);
}

void HttpRequest::OnTrailers(http::HeaderMap& trailers) {
  Touch();
  request_done_ = true;
  if (!routed_ || answered_) return;
  StripClaims(trailers);
  router_.SendTrailers(trailers);
}

void HttpRequest::OnWritable() {
  Touch();
  if (!std::exchange(stopped_, false)) return;
  if (!answered_) router_.ReadDisable(false);
}

void HttpRequest::OnEnd(http::StreamEnd end) {
  switch (end) {
    case http::StreamEnd::kFinished:
      if (routed_) router_.Finish();
      break;
    case http::StreamEnd::kPeerReset:
    case http::StreamEnd::kRefused:
    case http::StreamEnd::kConnectionLost:
      flags_.Add(router::kDownstreamTermination);
      break;
    case http::StreamEnd::kProtocolError:
    case http::StreamEnd::kLimit:
      flags_.Add(router::kDownstreamProtocol);
      break;
  }
  Finish();
}

void HttpRequest::OnInformational(http::ResponseHead& head) {
  Touch();
  stream_->SendInformational(head);
}

void HttpRequest::OnResponse(http::ResponseHead& head, bool end) {
  Touch();
  status_ = head.status;
  // An endpoint that does not switch protocols answers as to any request.
  if (tunnel_) tunnel_ = status_ == 101 || (stream_->request().is_connect() && status_ / 100 == 2);
  // Those of an application.
  if (router_.info().attempts > 0 && (connection_->options_.inbound || !router_.info().sidecar)) {
    StripSidecarsWords(head.headers);
  }
  if (grpc_ && end) ReadGrpcStatus(head.headers);  // trailers only
  grpc_answer_ = grpc_ && http::IsGrpc(head.headers);
  reason_ = router_.info().reason;
  if (router_.info().attempts == 0 && !head.headers.Has(HeaderId::kDate)) {
    head.headers.Add(HeaderId::kDate, shared_.date());  // an answer of the route's own
  }
  stream_->SendHeaders(head, end);
  if (end) OnResponseDone();
}

void HttpRequest::ReadGrpcStatus(const http::HeaderMap& headers) {
  if (const auto status = http::ParseGrpcStatus(headers.Get(HeaderId::kGrpcStatus))) {
    grpc_status_ = static_cast<int>(*status);
  }
}

// As they pass: the call's end may be days away. While no endpoint is chosen they wait.
void HttpRequest::TellMessages() {
  if (request_messages_ + response_messages_ == 0 || router_.info().host == nullptr) return;
  connection_->owner_.CellsOf(router_.info())
      .AddMessages(std::exchange(request_messages_, 0), std::exchange(response_messages_, 0));
}

void HttpRequest::OnResponseData(Buffer& data, bool end) {
  Touch();
  sent_ += data.size();
  if (grpc_answer_) {
    response_messages_ += responses_in_.Count(data);
    TellMessages();
  }
  stream_->SendData(data, end);
  if (end) return OnResponseDone();
  if (!stopped_ && stream_->unsent() >= buffer::kHighWatermark) {
    stopped_ = true;
    router_.ReadDisable(true);
  }
}

void HttpRequest::OnResponseTrailers(http::HeaderMap& trailers) {
  Touch();
  if (grpc_) ReadGrpcStatus(trailers);
  stream_->SendTrailers(trailers);
  OnResponseDone();
}

// The response is with the codec, whole. A tunnel's other direction may still run.
void HttpRequest::OnResponseDone() {
  answered_ = true;
  if (request_done_ || tunnel_) return;
  // The answer came before the end of the request, and nobody wants the rest.
  router_.Cancel();
  stream_->StopRequest();
}

void HttpRequest::OnLocalReply(const router::LocalReply& reply) { Reply(reply); }

void HttpRequest::Reply(const router::LocalReply& reply) {
  Touch();
  flags_.Add(reply.flags);
  reason_ = reply.reason;
  Buffer body;
  WriteLocalReply(reply, stream_->request(), shared_.date(), &local_, &body);
  status_ = local_.status;
  if (grpc_) ReadGrpcStatus(local_.headers);
  sent_ += body.size();
  stream_->SendHeaders(local_, /*end=*/body.empty());
  if (!body.empty()) stream_->SendData(body, /*end=*/true);
  tunnel_ = false;  // refused
  OnResponseDone();
}

void HttpRequest::OnResponseBroken(router::ResponseFlags flags, absl::string_view reason) {
  reason_ = reason;
  Abort(flags);
}

void HttpRequest::OnUpstreamReadDisable(bool disable) {
  if (stream_ != nullptr) stream_->ReadDisable(disable);
}

void HttpRequest::Abort(router::ResponseFlags flags) {
  flags_.Add(flags);
  http::ServerStream* const stream = stream_;
  Finish();
  stream->Reset();
}

// Told of once, while the head is still there; then the object waits for its next request.
void HttpRequest::Finish() {
  if (routed_) router_.Cancel();
  if (!connection_->dying_) Record();
  stream_ = nullptr;
  connection_->Remove(*this);
}

void HttpRequest::Record() {
  const router::RequestInfo& info = router_.info();
  flags_.Add(info.flags);
  const event::Instant now = shared_.dispatcher().now();
  const std::string flags = flags_.ToString();
  stats::RequestOutcome outcome;
  outcome.status = status_;
  outcome.grpc = grpc_;
  outcome.grpc_status = grpc_status_;
  outcome.flags = flags;
  outcome.duration = std::chrono::duration_cast<std::chrono::microseconds>(now - started_);
  outcome.request_bytes = received_;
  outcome.response_bytes = sent_;
  stats::RequestCells& cells = connection_->owner_.CellsOf(info);
  cells.Record(outcome);
  if (request_messages_ > 0) cells.AddMessages(request_messages_, 0);  // no endpoint got them
  if (shared_.sinks().access_log != nullptr) Log(flags, now);
  if (trace_.reported) Report(flags, now);
}

void HttpRequest::Report(absl::string_view flags, event::Instant now) {
  const router::RequestInfo& info = router_.info();
  const HttpConnectionOptions& connection = connection_->options_;
  const RequestHead& head = stream_->request();
  const std::string address =
      (connection.inbound ? connection.client : info.upstream_remote).ToString();
  const spiffe::PeerSvid* peer =
      connection.inbound ? connection.peer.get() : info.upstream_peer.get();
  trace::RequestFacts facts;
  facts.kind = connection.inbound ? trace::Span::Kind::kServer : trace::Span::Kind::kClient;
  facts.method = head.method;
  facts.authority = head.authority;
  facts.path = path_;
  facts.scheme = head.scheme;
  facts.protocol = http::ProtocolName(connection_->protocol());
  facts.user_agent = head.headers.Get(HeaderId::kUserAgent);
  if (choice_.route != nullptr) facts.route = choice_.route->name;
  if (info.cluster != nullptr) facts.cluster = info.cluster->config().name;
  facts.peer_address = address;
  if (peer != nullptr) facts.peer_id = peer->id.ToString();
  facts.flags = flags;
  facts.status = status_;
  facts.grpc_status = grpc_status_;
  facts.end = absl::ToChronoTime(shared_.dispatcher().clock().Wall());
  facts.start =
      facts.end - std::chrono::duration_cast<std::chrono::system_clock::duration>(now - started_);
  shared_.tracer().Submit(trace_, facts);
}

void HttpRequest::Log(absl::string_view flags, event::Instant now) const {
  const router::RequestInfo& info = router_.info();
  const HttpConnectionOptions& connection = connection_->options_;
  const RequestHead& head = stream_->request();
  const std::string downstream = connection.client.ToString();
  const std::string destination = connection.destination.ToString();
  const std::string upstream = info.attempts == 0 ? "" : info.upstream_remote.ToString();
  const spiffe::PeerSvid* peer =
      connection.inbound ? connection.peer.get() : info.upstream_peer.get();
  const std::string serial = peer == nullptr ? "" : absl::BytesToHexString(peer->serial);
  access_log::Record record;
  record.duration = absl::FromChrono(now - started_);
  record.start = shared_.dispatcher().clock().Wall() - record.duration;
  record.inbound = connection.inbound;
  record.downstream = downstream;
  record.destination = destination;
  record.upstream = upstream;
  record.security = peer == nullptr ? "none" : "mutual_tls";
  if (peer != nullptr) {
    record.peer_id = peer->id.ToString();
    record.peer_serial = serial;
  }
  record.bytes_sent = sent_;
  record.bytes_received = received_;
  record.flags = flags;
  record.reason = reason_;
  record.http = true;
  record.protocol = http::ProtocolName(connection_->protocol());
  record.method = head.method;
  record.authority = head.authority;
  record.path = path_;
  record.user_agent = head.headers.Get(HeaderId::kUserAgent);
  record.request_id = head.headers.Get(HeaderId::kXRequestId);
  char trace_id[trace::kTraceIdHex];
  if (trace_.context.valid()) {
    trace::FormatTraceId(trace_.context.trace_id, trace_id);
    record.trace_id = absl::string_view(trace_id, sizeof trace_id);
  }
  if (choice_.route != nullptr) record.route = choice_.route->name;
  if (info.cluster != nullptr) record.cluster = info.cluster->config().name;
  record.status = status_;
  record.grpc_status = grpc_status_;
  record.attempts = info.attempts;
  if (info.first_byte != http::Instant{}) {
    record.upstream_duration = absl::FromChrono(info.first_byte - started_);
  }
  shared_.sinks().access_log->Write(record);
}

void HttpRequest::Recycle() {
  if (routed_) router_.Reset();
  if (routes_ != nullptr) std::exchange(routes_, nullptr)->Unref();
  local_.Clear();
  connection_ = nullptr;
  choice_ = {};
  trace_ = {};
  flags_ = {};
  reason_ = path_ = {};
  received_ = sent_ = 0;
  requests_in_ = responses_in_ = {};
  request_messages_ = response_messages_ = 0;
  status_ = 0;
  grpc_status_ = -1;
  grpc_ = grpc_answer_ = tunnel_ = routed_ = request_done_ = answered_ = stopped_ = false;
}

}  // namespace countersign::filter
