// The event loop of one thread. The only room that knows libevent.
#ifndef COUNTERSIGN_PROXY_EVENT_DISPATCHER_H_
#define COUNTERSIGN_PROXY_EVENT_DISPATCHER_H_

#include <atomic>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "proxy/event/clock.h"
#include "proxy/event/timer_queue.h"

struct event;
struct event_base;

namespace countersign::event {

class Dispatcher;

// Work for the end of the loop's turn; a member of the object that has it, so queueing allocates
// nothing. Destroying it takes it out of its queue.
class Task {
 public:
  using Callback = void (*)(void* owner);
  Task(void* owner, Callback callback) : owner_(owner), callback_(callback) {}
  Task(const Task&) = delete;
  Task& operator=(const Task&) = delete;
  ~Task() { Cancel(); }

  bool queued() const { return next_ != nullptr; }
  void Cancel();

 private:
  friend class TaskList;
  Task() : Task(nullptr, nullptr) {}

  void* owner_;
  Callback callback_;
  Task* next_ = nullptr;
  Task* previous_ = nullptr;
};

class TaskList {
 public:
  TaskList() { head_.next_ = head_.previous_ = &head_; }
  bool empty() const { return head_.next_ == &head_; }
  void Push(Task& task);
  // Runs what is queued now; what its callbacks queue stays for the next call.
  void RunQueued();

 private:
  Task head_;
};

// What dies inside its own callback.
class Deferred {
 public:
  virtual ~Deferred() = default;
};

inline constexpr uint32_t kReadable = 1;
inline constexpr uint32_t kWritable = 2;
// The peer closed its sending half, or the whole connection is gone.
inline constexpr uint32_t kPeerClosed = 4;

// Interest in one file descriptor, for the object's life. Edge-triggered: an event tells that
// something has come since the last one, so back-pressure needs no system call.
class FileEvent {
 public:
  class Handler {
   public:
    // `events`: an or of kReadable, kWritable, kPeerClosed. May destroy the FileEvent.
    virtual void OnFileEvent(uint32_t events) = 0;

   protected:
    ~Handler() = default;
  };
  enum class Mode : uint8_t { kEdge, kLevelRead };

  FileEvent(Dispatcher& dispatcher, int fd, Handler& handler, Mode mode = Mode::kEdge);
  FileEvent(const FileEvent&) = delete;
  FileEvent& operator=(const FileEvent&) = delete;
  ~FileEvent();

  // kLevelRead only: stop and resume.
  void Enable(bool on);

 private:
  static void OnEvent(int fd, short what, void* self);

  Dispatcher& dispatcher_;
  Handler& handler_;
  struct event* event_;
};

// Made on any thread; from Run() on, everything but Post, Stop and IsThisThread belongs to the
// thread that runs it.
class Dispatcher {
 public:
  explicit Dispatcher(const Clock& clock = Clock::Real());
  Dispatcher(const Dispatcher&) = delete;
  Dispatcher& operator=(const Dispatcher&) = delete;
  ~Dispatcher();

  // Runs `call` on the loop's thread, in order of posting. Any thread. What is posted after the
  // loop has ended is destroyed with the dispatcher.
  void Post(std::function<void()> call);

  void Run();
  // Any thread.
  void Stop();
  // One turn of the loop, for tests. Waits for an event only if `wait`.
  void RunTurn(bool wait);

  bool IsThisThread() const {
    const std::thread::id owner = thread_.load(std::memory_order_relaxed);
    return owner == std::thread::id() || owner == std::this_thread::get_id();
  }

  TimerQueue& timers() { return timers_; }
  const Clock& clock() const { return timers_.clock(); }
  Instant now() const { return timers_.now(); }

  // A turn ends with three passes, repeated until nothing is left: protocol output is framed, then
  // every socket with output writes, then what asked for deletion is deleted. So a connection
  // writes once a turn however many events fed it.
  void FrameAtTurnEnd(Task& task) { framing_.Push(task); }
  void FlushAtTurnEnd(Task& task) { flushing_.Push(task); }
  // For a reader that has used its share of this turn.
  void RunNextTurn(Task& task) { next_turn_.Push(task); }
  void DeferredDelete(std::unique_ptr<Deferred> object) {
    if (object != nullptr) deleted_.push_back(std::move(object));
  }

 private:
  friend class FileEvent;
  // The first callback of a turn reads the clock: the wait before it may have been long.
  void BeginTurn() {
    if (!time_is_fresh_) timers_.UpdateNow();
    time_is_fresh_ = true;
  }
  void EndTurn();
  void RunPosted();
  void ArmWakeUp();
  static void OnWake(int fd, short what, void* self);
  static void OnTimeout(int fd, short what, void* self);

  TimerQueue timers_;
  event_base* base_;
  int wake_fd_;
  struct event* wake_event_;
  struct event* timeout_event_;
  Instant timeout_at_ = Instant::max();
  bool time_is_fresh_ = false;
  std::atomic<std::thread::id> thread_{};
  std::atomic<bool> stop_{false};
  TaskList framing_;
  TaskList flushing_;
  TaskList next_turn_;
  std::vector<std::unique_ptr<Deferred>> deleted_;
  std::mutex mutex_;  // of posted_
  std::vector<std::function<void()>> posted_;
};

}  // namespace countersign::event

#endif  // COUNTERSIGN_PROXY_EVENT_DISPATCHER_H_
