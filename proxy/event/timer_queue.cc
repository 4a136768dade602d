#include "proxy/event/timer_queue.h"

namespace countersign::event {

void Timer::Arm(std::chrono::milliseconds after) {
  Cancel();
  deadline_ = queue_.now() + after;
  queue_.Insert(this);
}

void Timer::Cancel() {
  if (armed()) queue_.Remove(this);
}

void TimerQueue::RunDue() {
  // What a callback arms for now waits for the next turn: now_ stands still in here, and a deadline
  // equal to it would otherwise spin.
  const Instant due = now_;
  while (!heap_.empty() && heap_.front()->deadline_ <= due) {
    Timer* timer = heap_.front();
    Remove(timer);
    timer->callback_(timer->owner_);
  }
}

void TimerQueue::Insert(Timer* timer) {
  heap_.push_back(timer);
  Place(heap_.size() - 1, timer);
  SiftUp(heap_.size() - 1);
}

void TimerQueue::Remove(Timer* timer) {
  const size_t index = timer->index_;
  timer->index_ = Timer::kIdle;
  Timer* last = heap_.back();
  heap_.pop_back();
  if (last == timer) return;
  Place(index, last);
  SiftUp(index);
  SiftDown(last->index_);
}

void TimerQueue::Place(size_t index, Timer* timer) {
  heap_[index] = timer;
  timer->index_ = index;
}

void TimerQueue::SiftUp(size_t index) {
  Timer* timer = heap_[index];
  while (index > 0) {
    const size_t parent = (index - 1) / 2;
    if (heap_[parent]->deadline_ <= timer->deadline_) break;
    Place(index, heap_[parent]);
    index = parent;
  }
  Place(index, timer);
}

void TimerQueue::SiftDown(size_t index) {
  Timer* timer = heap_[index];
  for (;;) {
    size_t child = 2 * index + 1;
    if (child >= heap_.size()) break;
    if (child + 1 < heap_.size() && heap_[child + 1]->deadline_ < heap_[child]->deadline_) ++child;
    if (timer->deadline_ <= heap_[child]->deadline_) break;
    Place(index, heap_[child]);
    index = child;
  }
  Place(index, timer);
}

}  // namespace countersign::event
