#include "proxy/filter/http_shared.h"

#include <utility>

#include "proxy/filter/http_request.h"
#include "proxy/stats/families.h"

namespace countersign::filter {

HttpShared::HttpShared(event::Dispatcher& dispatcher, Overload& overload, stats::Registry& stats,
                       const HttpSinks& sinks)
    : dispatcher_(dispatcher),
      overload_(overload),
      stats_(stats),
      sinks_(sinks),
      tracer_(sinks.spans),
      inbound_active_(stats.Get(stats::kHttpRequestsActive, {"inbound"})),
      outbound_active_(stats.Get(stats::kHttpRequestsActive, {"outbound"})),
      recycle_(this, [](void* self) { static_cast<HttpShared*>(self)->Recycle(); }) {}

HttpShared::~HttpShared() {
  Recycle();
  while (free_ != nullptr) delete std::exchange(free_, free_->next());
}

HttpRequest& HttpShared::Acquire(bool inbound) {
  overload_.OnRequests(1);
  (inbound ? inbound_active_ : outbound_active_).Add(1);
  if (free_ == nullptr) return *new HttpRequest(*this);
  HttpRequest& request = *free_;
  free_ = request.next();
  --kept_;
  return request;
}

void HttpShared::Release(HttpRequest& request, bool inbound) {
  overload_.OnRequests(-1);
  (inbound ? inbound_active_ : outbound_active_).Sub(1);
  request.set_next(released_);
  released_ = &request;
  dispatcher_.FlushAtTurnEnd(recycle_);
}

void HttpShared::Recycle() {
  while (released_ != nullptr) {
    HttpRequest* request = released_;
    released_ = request->next();
    request->Recycle();
    if (kept_ >= kMaxKept && request->idle()) {
      delete request;
      continue;
    }
    request->set_next(free_);
    free_ = request;
    ++kept_;
  }
}

}  // namespace countersign::filter
