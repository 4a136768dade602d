#include "proxy/upstream/http_stream_request.h"

namespace countersign::upstream {

void HttpStreamRequest::Cancel() {
  if (queue_ == nullptr) return;
  HttpStreamQueue* queue = queue_;
  queue->Remove(*this);
  queue->owner_.OnRequestCancelled();
}

HttpStreamQueue::~HttpStreamQueue() {
  while (!empty()) Remove(*head_);
}

void HttpStreamQueue::Push(HttpStreamRequest& request) {
  request.queue_ = this;
  request.next_ = nullptr;
  request.previous_ = tail_;
  (tail_ != nullptr ? tail_->next_ : head_) = &request;
  tail_ = &request;
  ++size_;
}

HttpStreamRequest& HttpStreamQueue::Pop() {
  HttpStreamRequest& first = *head_;
  Remove(first);
  return first;
}

void HttpStreamQueue::Remove(HttpStreamRequest& request) {
  (request.previous_ != nullptr ? request.previous_->next_ : head_) = request.next_;
  (request.next_ != nullptr ? request.next_->previous_ : tail_) = request.previous_;
  request.queue_ = nullptr;
  request.next_ = request.previous_ = nullptr;
  --size_;
}

}  // namespace countersign::upstream
