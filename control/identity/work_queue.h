// Attesting and signing, away from gRPC's threads: bounded, and live proxies first.
#ifndef COUNTERSIGN_CONTROL_IDENTITY_WORK_QUEUE_H_
#define COUNTERSIGN_CONTROL_IDENTITY_WORK_QUEUE_H_

#include <array>
#include <deque>
#include <functional>
#include <thread>
#include <vector>

#include "absl/base/thread_annotations.h"
#include "absl/synchronization/mutex.h"

namespace countersign::control::identity {

// In the order in which they are served when there is more to do than can be done.
enum class Priority {
  kRenewal,   // a proxy that serves traffic with a certificate about to expire
  kReattest,  // a proxy that has an SVID and has lost its stream
  kJoin,      // a newcomer
};

// Any thread may submit. Jobs run on threads of its own: one never takes kJoin, which waits for the
// disk, so that renewals are not behind it. Stop() (or destruction) runs nothing more.
class WorkQueue {
 public:
  struct Options {
    int threads = 2;
    // Jobs waiting, by priority; the rest is refused at once.
    std::array<size_t, 3> limits = {20'000, 20'000, 5'000};
  };

  explicit WorkQueue(const Options& options);
  ~WorkQueue();
  WorkQueue(const WorkQueue&) = delete;
  WorkQueue& operator=(const WorkQueue&) = delete;

  // False when that much is waiting already, or after Stop().
  bool Submit(Priority priority, std::function<void()> job);
  void Stop();

 private:
  void Run(bool takes_joins);
  bool HasJob(bool takes_joins) const ABSL_EXCLUSIVE_LOCKS_REQUIRED(mutex_);

  const Options options_;
  absl::Mutex mutex_;
  // Of the threads that wait for anything, and of the one that does not take kJoin.
  absl::CondVar any_job_;
  absl::CondVar urgent_job_;
  std::array<std::deque<std::function<void()>>, 3> jobs_ ABSL_GUARDED_BY(mutex_);
  int idle_any_ ABSL_GUARDED_BY(mutex_) = 0;
  int idle_urgent_ ABSL_GUARDED_BY(mutex_) = 0;
  bool stopped_ ABSL_GUARDED_BY(mutex_) = false;
  std::vector<std::thread> threads_;
};

}  // namespace countersign::control::identity

#endif  // COUNTERSIGN_CONTROL_IDENTITY_WORK_QUEUE_H_
