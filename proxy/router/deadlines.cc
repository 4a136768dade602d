#include "proxy/router/deadlines.h"

namespace countersign::router {

void Deadlines::Begin() {
  End();
  began_ = moved_ = dispatcher_.now();
}

void Deadlines::End() {
  wait_until_ = kNever;
  total_ = call_ = try_ = {};
  idle_ = try_idle_ = Milliseconds(0);
}

void Deadlines::BeginTry(Milliseconds idle) {
  wait_until_ = kNever;
  try_began_ = dispatcher_.now();
  try_idle_ = idle;
}

void Deadlines::EndTry() {
  try_ = {};
  try_idle_ = Milliseconds(0);
}

void Deadlines::LimitCall(Milliseconds limit) {
  call_.limit = limit;
  call_.at = began_ + limit;
}

std::optional<Deadlines::Milliseconds> Deadlines::call_left() const {
  if (call_.at == kNever) return std::nullopt;
  return std::max(Milliseconds(0), std::chrono::ceil<Milliseconds>(call_.at - dispatcher_.now()));
}

void Deadlines::Arm() {
  const event::Instant next =
      std::min({wait_until_, total_.at, call_.at, try_.at, IdleAt(), TryIdleAt()});
  if (next >= armed_for_) return;
  armed_for_ = next;
  timer_.Arm(std::max(Milliseconds(0), std::chrono::ceil<Milliseconds>(next - dispatcher_.now())));
}

void Deadlines::OnTimer(void* self) {
  Deadlines& deadlines = *static_cast<Deadlines*>(self);
  deadlines.armed_for_ = kNever;
  deadlines.on_timer_(deadlines.owner_);
}

std::optional<Deadlines::Due> Deadlines::Next() {
  const event::Instant now = dispatcher_.now();
  if (now >= call_.at) return Due{.what = Expired::kGrpcDeadline, .limit = call_.limit};
  if (now >= total_.at) return Due{.what = Expired::kRoute, .limit = total_.limit};
  if (now >= wait_until_) {
    wait_until_ = kNever;
    return Due{.waited = true};
  }
  if (now >= try_.at) return Due{.what = Expired::kTry, .limit = try_.limit};
  if (now >= TryIdleAt()) return Due{.what = Expired::kTryIdle, .limit = try_idle_};
  if (now >= IdleAt()) return Due{.what = Expired::kIdle, .limit = idle_};
  Arm();
  return std::nullopt;
}

}  // namespace countersign::router
