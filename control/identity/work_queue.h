// Attesting and signing, away from gRPC's threads: bounded, and live proxies first.
#ifndef COUNTERSIGN_CONTROL_IDENTITY_WORK_QUEUE_H_
#define COUNTERSIGN_CONTROL_IDENTITY_WORK_QUEUE_H_

#include <algorithm>
#include <array>
#include <condition_variable>
#include <deque>
#include <functional>
#include <iterator>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace countersign::control::identity {

// In the order in which they are served when there is more to do than can be done.
enum class Priority {
  kRenewal,   // a proxy that serves traffic with a certificate about to expire
  kReattest,  // a proxy that has an SVID and has lost its stream
  kJoin,      // a newcomer
};

struct WorkQueueOptions {
  int threads = 2;
  // Jobs waiting, by priority; the rest is refused at once.
  std::array<size_t, 3> limits = {20'000, 20'000, 5'000};
  // The most that are served together.
  size_t join_batch = 64;
};

// Any thread may submit. Jobs are served on threads of its own: one never takes kJoin, which waits
// for the disk, so that renewals are not behind it. Others are served one by one; joins that wait
// are served together, so that the disk is waited for once. Stop() (or destruction) serves nothing
// more.
template <typename Job>
class WorkQueue {
 public:
  // Called with at least one job, all of one priority, in the order of their arrival; by several
  // threads.
  using Serve = std::function<void(Priority priority, std::vector<Job> jobs)>;

  WorkQueue(const WorkQueueOptions& options, Serve serve)
      : options_(options), serve_(std::move(serve)) {
    const int threads = std::max(options.threads, 2);
    for (int i = 0; i < threads; ++i) {
      threads_.emplace_back([this, i] { Run(/*takes_joins=*/i != 0); });
    }
  }
  ~WorkQueue() { Stop(); }
  WorkQueue(const WorkQueue&) = delete;
  WorkQueue& operator=(const WorkQueue&) = delete;

  // False when that much is waiting already, or after Stop(); the job is then left as it was.
  bool Submit(Priority priority, Job&& job) {
    const auto index = static_cast<size_t>(priority);
    std::condition_variable* wake = nullptr;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (stopped_ || jobs_[index].size() >= options_.limits[index]) return false;
      jobs_[index].push_back(std::move(job));
      // One thread is woken, and none when all are busy: they look again before they sleep.
      if (priority != Priority::kJoin && idle_urgent_ > 0) {
        wake = &urgent_job_;
      } else if (idle_any_ > 0) {
        wake = &any_job_;
      }
    }
    // Not under the lock, which the woken thread would only wait for.
    if (wake != nullptr) wake->notify_one();
    return true;
  }

  void Stop() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stopped_ = true;
      for (auto& queue : jobs_) queue.clear();
    }
    any_job_.notify_all();
    urgent_job_.notify_all();
    for (std::thread& thread : threads_) {
      if (thread.joinable()) thread.join();
    }
  }

 private:
  // Under the mutex.
  bool HasJob(bool takes_joins) const {
    return !jobs_[0].empty() || !jobs_[1].empty() || (takes_joins && !jobs_[2].empty());
  }

  void Run(bool takes_joins) {
    std::condition_variable& wake = takes_joins ? any_job_ : urgent_job_;
    int& idle = takes_joins ? idle_any_ : idle_urgent_;
    while (true) {
      Priority priority;
      std::vector<Job> jobs;
      {
        std::unique_lock<std::mutex> lock(mutex_);
        while (!stopped_ && !HasJob(takes_joins)) {
          ++idle;
          wake.wait(lock);
          --idle;
        }
        if (stopped_) return;
        const auto queue =
            std::find_if(jobs_.begin(), jobs_.end(), [](const auto& q) { return !q.empty(); });
        priority = static_cast<Priority>(queue - jobs_.begin());
        const size_t most = priority == Priority::kJoin ? options_.join_batch : 1;
        const auto end = queue->begin() + static_cast<ptrdiff_t>(std::min(most, queue->size()));
        jobs.assign(std::make_move_iterator(queue->begin()), std::make_move_iterator(end));
        queue->erase(queue->begin(), end);
      }
      serve_(priority, std::move(jobs));
    }
  }

  const WorkQueueOptions options_;
  const Serve serve_;
  std::mutex mutex_;  // guards what follows but for `threads_`
  // Of the threads that wait for anything, and of the one that does not take kJoin.
  std::condition_variable any_job_;
  std::condition_variable urgent_job_;
  std::array<std::deque<Job>, 3> jobs_;
  int idle_any_ = 0;
  int idle_urgent_ = 0;
  bool stopped_ = false;
  std::vector<std::thread> threads_;
};

}  // namespace countersign::control::identity

#endif  // COUNTERSIGN_CONTROL_IDENTITY_WORK_QUEUE_H_
