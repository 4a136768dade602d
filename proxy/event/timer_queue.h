// Time-outs of one event loop: a binary heap whose entries are members of the objects that wait.
#ifndef COUNTERSIGN_PROXY_EVENT_TIMER_QUEUE_H_
#define COUNTERSIGN_PROXY_EVENT_TIMER_QUEUE_H_

#include <cstddef>
#include <vector>

#include "proxy/event/clock.h"

namespace countersign::event {

class TimerQueue;

// One time-out. A member of the object that waits, so arming allocates nothing; its destructor
// cancels. Lives on its queue's thread.
class Timer {
 public:
  using Callback = void (*)(void* owner);

  Timer(TimerQueue& queue, void* owner, Callback callback)
      : queue_(queue), owner_(owner), callback_(callback) {}
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { Cancel(); }

  // Replaces an earlier deadline.
  void Arm(std::chrono::milliseconds after);
  void Cancel();
  bool armed() const { return index_ != kIdle; }

 private:
  friend class TimerQueue;
  static constexpr size_t kIdle = static_cast<size_t>(-1);

  TimerQueue& queue_;
  void* const owner_;
  const Callback callback_;
  Instant deadline_;
  size_t index_ = kIdle;
};

class TimerQueue {
 public:
  explicit TimerQueue(const Clock& clock) : clock_(clock), now_(clock.Monotonic()) {}
  TimerQueue(const TimerQueue&) = delete;
  TimerQueue& operator=(const TimerQueue&) = delete;

  // The time of the present turn of the loop: read once a turn.
  Instant now() const { return now_; }
  void UpdateNow() { now_ = clock_.Monotonic(); }
  const Clock& clock() const { return clock_; }

  bool empty() const { return heap_.empty(); }
  // Requires !empty().
  Instant next() const { return heap_.front()->deadline_; }
  // Calls back whatever is due. Callbacks may arm, cancel and destroy any timer.
  void RunDue();

 private:
  friend class Timer;
  void Insert(Timer* timer);
  void Remove(Timer* timer);
  void Place(size_t index, Timer* timer);
  void SiftUp(size_t index);
  void SiftDown(size_t index);

  const Clock& clock_;
  Instant now_;
  std::vector<Timer*> heap_;
};

}  // namespace countersign::event

#endif  // COUNTERSIGN_PROXY_EVENT_TIMER_QUEUE_H_
