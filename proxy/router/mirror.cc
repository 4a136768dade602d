#include "proxy/router/mirror.h"

#include <string>
#include <utility>

#include "absl/strings/str_cat.h"
#include "proxy/router/router.h"

namespace countersign::router {

using upstream::RequestEvent;

Mirror::Mirror(event::Dispatcher& dispatcher)
    : timer_(dispatcher.timers(), this, [](void* self) { static_cast<Mirror*>(self)->OnTimer(); }) {
}

Mirror::~Mirror() { Finish(); }

std::string Mirror::ShadowAuthority(absl::string_view authority) {
  const size_t bracket = authority.rfind(']');
  const size_t colon = authority.rfind(':');
  const bool has_port =
      colon != absl::string_view::npos && (bracket == absl::string_view::npos || colon > bracket);
  const absl::string_view host = has_port ? authority.substr(0, colon) : authority;
  return absl::StrCat(host, "-shadow", authority.substr(host.size()));
}

void Mirror::Start(upstream::Cluster& cluster, const http::RequestHead& head,
                   const buffer::Buffer& body, const http::HeaderMap* trailers,
                   std::optional<uint64_t> hash, std::chrono::milliseconds timeout) {
  upstream::Host* host = cluster.ChooseHost({.hash = hash, .tried = {}});
  if (host == nullptr) return cluster.OnRequestEvent(RequestEvent::kMirrorNotReached);
  active_ = true;
  cluster_ = &cluster;  // the host holds it while a stream is waited for
  head_.Clear();
  head_.CopyFrom(head);
  if (!head.authority.empty()) {
    head_.authority = head_.headers.Store(ShadowAuthority(head.authority));
  }
  // It speaks to the sidecar of the original's endpoint.
  head_.headers.Remove(http::HeaderId::kCountersignDownstream);
  body_.Clear();
  for (buffer::Slice* slice = body.front(); slice != nullptr; slice = slice->next) {
    body_.AppendRef(slice->block, slice->data(), slice->size());
  }
  trailers_.Clear();
  has_trailers_ = trailers != nullptr;
  if (has_trailers_) trailers_.CopyFrom(*trailers);
  timer_.Arm(timeout);
  cluster.NewStream(*host, *this);
}

void Mirror::OnTimer() {
  if (cluster_ != nullptr) cluster_->OnRequestEvent(RequestEvent::kMirrorNotReached);
  Finish();
}

void Mirror::Finish() {
  Cancel();
  cluster_ = nullptr;
  if (stream_ != nullptr) std::exchange(stream_, nullptr)->Reset();
  timer_.Cancel();
  body_.Clear();
  head_.Clear();
  trailers_.Clear();
  active_ = false;
}

void Mirror::OnStreamReady(http::ClientStream& stream, const upstream::UpstreamConnectionInfo&) {
  std::exchange(cluster_, nullptr)->OnRequestEvent(RequestEvent::kMirrorSent);
  stream_ = &stream;
  const bool has_body = !body_.empty();
  stream.SendHeaders(head_, !has_body && !has_trailers_);
  if (has_body) stream.SendData(body_, !has_trailers_);
  if (has_trailers_) stream.SendTrailers(trailers_);
}

void Mirror::OnStreamFailed(upstream::PoolFailure, buffer::CloseReason, const std::string&) {
  cluster_->OnRequestEvent(RequestEvent::kMirrorNotReached);
  Finish();
}

void Mirror::OnResponseComplete() {
  // All of the request was given to the stream; if it left, the codec ends the stream by itself,
  // and an HTTP/1 connection can be used again.
  if (stream_ != nullptr && stream_->unsent() > 0) Finish();
}

void Mirror::OnHeaders(http::ResponseHead&, bool end) {
  if (end) OnResponseComplete();
}

void Mirror::OnData(buffer::Buffer& data, bool end) {
  data.Clear();
  if (end) OnResponseComplete();
}

void Mirror::OnTrailers(http::HeaderMap&) { OnResponseComplete(); }

void Mirror::OnEnd(http::StreamEnd) {
  stream_ = nullptr;
  Finish();
}

void Mirrors::Choose(const std::vector<config::MirrorPolicy>& policies, Dice& dice) {
  policies_ = &policies;
  for (size_t i = 0; i < policies.size() && i < 32; ++i) {
    if (dice.PerMillion(policies[i].per_million)) wanted_ |= 1u << i;
  }
}

void Mirrors::Start(ClusterSource& clusters, const http::RequestHead& head, const RequestBody& body,
                    std::optional<uint64_t> hash, std::chrono::milliseconds timeout) {
  const bool kept = body.whole() && body.size() <= RequestBody::kMaxKept;
  buffer::Buffer copy;
  if (kept) body.CopyTo(copy);
  for (size_t i = 0; wanted_ != 0; ++i, wanted_ >>= 1) {
    if ((wanted_ & 1) == 0) continue;
    upstream::Cluster* const cluster = clusters.FindCluster((*policies_)[i].cluster);
    if (cluster == nullptr) continue;
    Mirror* const mirror = kept ? FindIdle() : nullptr;
    if (mirror == nullptr) {
      cluster->OnRequestEvent(kept ? RequestEvent::kMirrorLimit : RequestEvent::kMirrorTooLarge);
      continue;
    }
    mirror->Start(*cluster, head, copy, body.trailers(), hash,
                  timeout.count() > 0 ? timeout : kTimeout);
  }
}

Mirror* Mirrors::FindIdle() {
  for (const auto& mirror : mirrors_) {
    if (!mirror->active()) return mirror.get();
  }
  if (mirrors_.size() == kMost) return nullptr;
  return mirrors_.emplace_back(std::make_unique<Mirror>(dispatcher_)).get();
}

}  // namespace countersign::router
