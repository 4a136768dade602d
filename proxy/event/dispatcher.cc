#include "proxy/event/dispatcher.h"

#include <event2/event.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <utility>

namespace countersign::event {
namespace {

// Without memory or descriptors for its own loop a worker cannot exist.
template <typename T>
T* OrDie(T* object, const char* what) {
  if (object == nullptr) {
    std::fprintf(stderr, "event loop: cannot make %s: out of memory or file descriptors\n", what);
    std::abort();
  }
  return object;
}

event_base* NewBase() {
  event_config* config = OrDie(event_config_new(), "its configuration");
  // One thread, so no lock; and no environment variable may choose another backend.
  event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK);
  event_config_set_flag(config, EVENT_BASE_FLAG_IGNORE_ENV);
  event_config_require_features(config, EV_FEATURE_ET | EV_FEATURE_EARLY_CLOSE);
  event_base* base = OrDie(event_base_new_with_config(config), "epoll");
  event_config_free(config);
  return base;
}

}  // namespace

void Task::Cancel() {
  if (!queued()) return;
  previous_->next_ = next_;
  next_->previous_ = previous_;
  next_ = previous_ = nullptr;
}

void TaskList::Push(Task& task) {
  if (task.queued()) return;
  task.next_ = &head_;
  task.previous_ = head_.previous_;
  head_.previous_->next_ = &task;
  head_.previous_ = &task;
}

void TaskList::RunQueued() {
  if (empty()) return;
  // The queue moves to a head of this call's own, so that what callbacks push is not run here.
  Task batch;
  batch.next_ = head_.next_;
  batch.previous_ = head_.previous_;
  batch.next_->previous_ = &batch;
  batch.previous_->next_ = &batch;
  head_.next_ = head_.previous_ = &head_;
  while (batch.next_ != &batch) {
    Task* task = batch.next_;
    task->Cancel();
    task->callback_(task->owner_);
  }
  batch.next_ = batch.previous_ = nullptr;
}

FileEvent::FileEvent(Dispatcher& dispatcher, int fd, Handler& handler, Mode mode)
    : dispatcher_(dispatcher), handler_(handler) {
  const short what = mode == Mode::kEdge ? EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST
                                         : EV_READ | EV_PERSIST;
  event_ = OrDie(event_new(dispatcher.base_, fd, what, &FileEvent::OnEvent, this), "an event");
  event_add(event_, nullptr);
}

FileEvent::~FileEvent() { event_free(event_); }

void FileEvent::Enable(bool on) {
  if (on) {
    event_add(event_, nullptr);
  } else {
    event_del(event_);
  }
}

void FileEvent::OnEvent(int, short what, void* self) {
  uint32_t events = 0;
  if (what & EV_READ) events |= kReadable;
  if (what & EV_WRITE) events |= kWritable;
  if (what & EV_CLOSED) events |= kPeerClosed;
  FileEvent* event = static_cast<FileEvent*>(self);
  event->dispatcher_.BeginTurn();
  event->handler_.OnFileEvent(events);
}

Dispatcher::Dispatcher(const Clock& clock)
    : timers_(clock), base_(NewBase()), wake_fd_(eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC)) {
  OrDie(wake_fd_ < 0 ? nullptr : this, "its wake-up descriptor");
  wake_event_ = OrDie(event_new(base_, wake_fd_, EV_READ | EV_PERSIST, &Dispatcher::OnWake, this),
                      "its wake-up event");
  event_add(wake_event_, nullptr);
  timeout_event_ = OrDie(event_new(base_, -1, 0, &Dispatcher::OnTimeout, this), "its timer");
}

Dispatcher::~Dispatcher() {
  deleted_.clear();
  event_free(timeout_event_);
  event_free(wake_event_);
  event_base_free(base_);
  close(wake_fd_);
}

void Dispatcher::Post(std::function<void()> call) {
  bool wake;
  {
    std::lock_guard lock(mutex_);
    wake = posted_.empty();
    posted_.push_back(std::move(call));
  }
  if (wake) {
    const uint64_t one = 1;
    // The counter cannot overflow: it is at most the number of posts between two turns.
    (void)!write(wake_fd_, &one, sizeof one);
  }
}

void Dispatcher::Run() {
  thread_.store(std::this_thread::get_id(), std::memory_order_relaxed);
  while (!stop_.load(std::memory_order_relaxed)) RunTurn(true);
  RunPosted();
  EndTurn();
  thread_.store(std::thread::id(), std::memory_order_relaxed);
}

void Dispatcher::Stop() {
  Post([this] { stop_.store(true, std::memory_order_relaxed); });
}

void Dispatcher::RunTurn(bool wait) {
  ArmWakeUp();
  time_is_fresh_ = false;
  event_base_loop(base_, EVLOOP_ONCE | (wait && next_turn_.empty() ? 0 : EVLOOP_NONBLOCK));
  BeginTurn();
  next_turn_.RunQueued();
  RunPosted();
  timers_.RunDue();
  EndTurn();
}

void Dispatcher::EndTurn() {
  do {
    framing_.RunQueued();
    if (!framing_.empty()) continue;
    flushing_.RunQueued();
    // Destructors may close connections and so queue more of everything.
    std::vector<std::unique_ptr<Deferred>> dying;
    dying.swap(deleted_);
    dying.clear();
    if (deleted_.empty()) deleted_.swap(dying);  // keeps its capacity
  } while (!framing_.empty() || !flushing_.empty() || !deleted_.empty());
}

void Dispatcher::RunPosted() {
  std::vector<std::function<void()>> calls;
  {
    std::lock_guard lock(mutex_);
    if (posted_.empty()) return;
    calls.swap(posted_);
  }
  for (std::function<void()>& call : calls) call();
}

// libevent holds one time-out: the nearest. It is moved only when the nearest comes nearer, so a
// timer that is armed and cancelled for each connection costs no call.
void Dispatcher::ArmWakeUp() {
  if (timers_.empty() || timers_.next() >= timeout_at_) return;
  timeout_at_ = timers_.next();
  const auto wait = std::max(timeout_at_ - timers_.clock().Monotonic(), Instant::duration(0));
  const auto us = std::chrono::duration_cast<std::chrono::microseconds>(wait).count() + 1;
  timeval tv{us / 1'000'000, us % 1'000'000};
  event_add(timeout_event_, &tv);
}

void Dispatcher::OnWake(int fd, short, void*) {
  uint64_t count;
  (void)!read(fd, &count, sizeof count);
}

void Dispatcher::OnTimeout(int, short, void* self) {
  static_cast<Dispatcher*>(self)->timeout_at_ = Instant::max();
}

}  // namespace countersign::event
