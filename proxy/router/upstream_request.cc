#include "proxy/router/upstream_request.h"

#include <utility>

#include "proxy/router/router.h"

namespace countersign::router {

UpstreamRequest::UpstreamRequest(Router& router)
    : router_(router), timer_(router.dispatcher_.timers(), this, [](void* self) {
        auto* const request = static_cast<UpstreamRequest*>(self);
        std::exchange(request->stream, nullptr)->Reset();
        request->router_.OnStreamEnd(*request, http::StreamEnd::kConnectionLost);
      }) {}

// After each of these the object may be at another request's work already: they touch nothing.

void UpstreamRequest::OnStreamReady(http::ClientStream& ready,
                                    const upstream::UpstreamConnectionInfo& info) {
  stream = &ready;
  connection = &info;
  router_.OnReady(ready, info);
}

void UpstreamRequest::OnStreamFailed(upstream::PoolFailure failure, buffer::CloseReason,
                                     const std::string& explanation) {
  router_.OnNoStream(failure, explanation);
}

void UpstreamRequest::OnInformational(http::ResponseHead& head) {
  if (router_.attempt() == this) router_.OnInformational(head);
}

void UpstreamRequest::OnHeaders(http::ResponseHead& head, bool end) {
  if (router_.attempt() == this) router_.OnResponseHead(head, end);
}

void UpstreamRequest::OnData(buffer::Buffer& data, bool end) {
  if (router_.attempt() == this) {
    router_.OnResponseBody(data, end);
  } else {
    data.Clear();
  }
}

void UpstreamRequest::OnTrailers(http::HeaderMap& trailers) {
  if (router_.attempt() == this) router_.OnResponseTrailers(trailers);
}

void UpstreamRequest::OnWritable() {
  if (router_.attempt() == this) router_.OnStreamWritable();
}

void UpstreamRequest::OnEnd(http::StreamEnd end) {
  stream = nullptr;
  timer_.Cancel();
  router_.OnStreamEnd(*this, end);
}

}  // namespace countersign::router
