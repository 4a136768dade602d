// Until when a request may take.
#ifndef COUNTERSIGN_PROXY_ROUTER_DEADLINES_H_
#define COUNTERSIGN_PROXY_ROUTER_DEADLINES_H_

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <optional>

#include "proxy/event/dispatcher.h"

namespace countersign::router {

enum class Expired : uint8_t {
  kRoute,         // the route's time-out for the whole request
  kGrpcDeadline,  // the client's own
  kTry,           // the route's for one try
  kTryIdle,       // nothing moved in one try
  kIdle,          // nothing moved
};

// The time-outs of one request, over one timer. The timer is not touched when a deadline moves back
// or the request ends: it asks again when it fires, so a request whose limits are like those of the
// one before it costs the timer queue nothing. A member of the router; on its worker's thread.
class Deadlines {
 public:
  using Milliseconds = std::chrono::milliseconds;
  using Callback = void (*)(void* owner);

  // `on_timer` calls Next() while the request runs.
  Deadlines(event::Dispatcher& dispatcher, void* owner, Callback on_timer)
      : dispatcher_(dispatcher),
        owner_(owner),
        on_timer_(on_timer),
        timer_(dispatcher.timers(), this, &Deadlines::OnTimer) {}

  void Begin();
  void End();
  void BeginTry(Milliseconds idle);
  void EndTry();
  // A byte moved, in either direction.
  void Moved() { moved_ = dispatcher_.now(); }

  // 0 is no limit in all of these. The next Arm() makes them count.
  void LimitTotal(Milliseconds limit) { total_.Set(dispatcher_.now(), limit); }
  void LimitTry(Milliseconds limit) { try_.Set(dispatcher_.now(), limit); }
  void LimitIdle(Milliseconds limit) { idle_ = limit; }
  // Counts from Begin; 0 has passed already.
  void LimitCall(Milliseconds limit);
  // Until the next try, or of an injected delay. Not a time-out.
  void Wait(Milliseconds limit) { wait_until_ = dispatcher_.now() + limit; }
  void Arm();

  // Of the client's deadline; nothing if it set none. Not below 0.
  std::optional<Milliseconds> call_left() const;

  // What is due now. Arms the timer again if nothing is.
  struct Due {
    bool waited = false;  // Wait is over; otherwise:
    Expired what = Expired::kRoute;
    Milliseconds limit{0};
  };
  std::optional<Due> Next();

 private:
  static constexpr event::Instant kNever = event::Instant::max();
  struct Limit {
    event::Instant at = kNever;
    Milliseconds limit{0};
    void Set(event::Instant from, Milliseconds after) {
      limit = after;
      at = after.count() > 0 ? from + after : kNever;
    }
  };

  static void OnTimer(void* self);
  event::Instant IdleAt() const { return idle_.count() > 0 ? moved_ + idle_ : kNever; }
  event::Instant TryIdleAt() const {
    return try_idle_.count() > 0 ? std::max(moved_, try_began_) + try_idle_ : kNever;
  }

  event::Dispatcher& dispatcher_;
  void* const owner_;
  const Callback on_timer_;
  event::Timer timer_;
  event::Instant armed_for_ = kNever;
  event::Instant began_{};
  event::Instant moved_{};
  event::Instant try_began_{};
  event::Instant wait_until_ = kNever;
  Limit total_;
  Limit call_;
  Limit try_;
  Milliseconds idle_{0};
  Milliseconds try_idle_{0};
};

}  // namespace countersign::router

#endif  // COUNTERSIGN_PROXY_ROUTER_DEADLINES_H_
