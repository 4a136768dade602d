#include "proxy/router/attempts.h"

#include <algorithm>
#include <utility>

namespace countersign::router {

Attempts::~Attempts() {
  LetGo();
  for (const auto& attempt : ending_) {
    if (attempt->stream != nullptr) attempt->stream->Reset();
  }
}

UpstreamRequest& Attempts::Begin(http::Protocol downstream_protocol) {
  if (spare_.empty()) {
    present_ = std::make_unique<UpstreamRequest>(router_);
  } else {
    present_ = std::move(spare_.back());
    spare_.pop_back();
  }
  present_->Begin(downstream_protocol);
  return *present_;
}

void Attempts::LetGo() {
  if (present_ == nullptr) return;
  std::unique_ptr<UpstreamRequest> attempt = std::move(present_);
  attempt->Cancel();
  if (attempt->stream != nullptr) {
    if (attempt->all_given() && attempt->stream->unsent() == 0) {
      // All is said; the codec is about to tell that the stream is over, and an HTTP/1 connection
      // can be used again. A reset would end it.
      ending_.push_back(std::move(attempt));
      return;
    }
    std::exchange(attempt->stream, nullptr)->Reset();
  }
  spare_.push_back(std::move(attempt));
}

void Attempts::Linger() {
  present_->Linger();
  ending_.push_back(std::move(present_));
}

bool Attempts::OnStreamEnd(UpstreamRequest& attempt) {
  if (present_.get() == &attempt) return true;
  const auto at = std::find_if(ending_.begin(), ending_.end(),
                               [&attempt](const auto& one) { return one.get() == &attempt; });
  if (at != ending_.end()) {
    spare_.push_back(std::move(*at));
    ending_.erase(at);
  }
  return false;
}

}  // namespace countersign::router
