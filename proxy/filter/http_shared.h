// What the HTTP connections of a worker share.
#ifndef COUNTERSIGN_PROXY_FILTER_HTTP_SHARED_H_
#define COUNTERSIGN_PROXY_FILTER_HTTP_SHARED_H_

#include <cstdint>
#include <memory>
#include <random>

#include "proxy/access_log/access_log.h"
#include "proxy/event/dispatcher.h"
#include "proxy/filter/local_reply.h"
#include "proxy/filter/overload.h"
#include "proxy/filter/request_id.h"
#include "proxy/stats/registry.h"
#include "proxy/trace/span.h"
#include "proxy/trace/tracer.h"

namespace countersign::filter {

class HttpRequest;

// Where requests are told of; null: nowhere. They outlive the worker.
struct HttpSinks {
  access_log::AccessLog* access_log = nullptr;
  trace::SpanSink* spans = nullptr;
};

// One a worker, on its thread: random ids, and the request objects that are used again, so
// that a request allocates nothing. Outlives the connections.
class HttpShared {
 public:
  HttpShared(event::Dispatcher& dispatcher, Overload& overload, stats::Registry& stats,
             const HttpSinks& sinks);
  HttpShared(const HttpShared&) = delete;
  HttpShared& operator=(const HttpShared&) = delete;
  ~HttpShared();

  event::Dispatcher& dispatcher() { return dispatcher_; }
  Overload& overload() { return overload_; }
  stats::Registry& stats() { return stats_; }
  const HttpSinks& sinks() const { return sinks_; }
  RequestIdGenerator& request_ids() { return request_ids_; }
  trace::Tracer& tracer() { return tracer_; }
  // For jitter, which nobody gains by guessing.
  uint32_t Random() { return static_cast<uint32_t>(random_()); }
  absl::string_view date() { return date_.Get(dispatcher_.clock().Wall()); }

  HttpRequest& Acquire(bool inbound);
  // Takes it back at the end of the turn: it may be in a callback of its own.
  void Release(HttpRequest& request, bool inbound);

 private:
  static constexpr uint32_t kMaxKept = 256;

  void Recycle();

  event::Dispatcher& dispatcher_;
  Overload& overload_;
  stats::Registry& stats_;
  const HttpSinks sinks_;
  RequestIdGenerator request_ids_;
  trace::Tracer tracer_;
  HttpDate date_;
  std::minstd_rand random_{std::random_device{}()};
  stats::Cell& inbound_active_;
  stats::Cell& outbound_active_;
  event::Task recycle_;
  HttpRequest* free_ = nullptr;
  uint32_t kept_ = 0;
  HttpRequest* released_ = nullptr;
};

}  // namespace countersign::filter

#endif  // COUNTERSIGN_PROXY_FILTER_HTTP_SHARED_H_
