#include "control/identity/work_queue.h"

#include <algorithm>
#include <utility>

namespace countersign::control::identity {

WorkQueue::WorkQueue(const Options& options) : options_(options) {
  const int threads = std::max(options.threads, 2);
  for (int i = 0; i < threads; ++i) {
    threads_.emplace_back([this, i] { Run(/*takes_joins=*/i != 0); });
  }
}

WorkQueue::~WorkQueue() { Stop(); }

bool WorkQueue::Submit(Priority priority, std::function<void()> job) {
  const auto index = static_cast<size_t>(priority);
  absl::MutexLock lock(&mutex_);
  if (stopped_ || jobs_[index].size() >= options_.limits[index]) return false;
  jobs_[index].push_back(std::move(job));
  // One thread is woken, and none when all are busy: they look again before they sleep.
  if (priority != Priority::kJoin && idle_urgent_ > 0) {
    urgent_job_.Signal();
  } else if (idle_any_ > 0) {
    any_job_.Signal();
  }
  return true;
}

void WorkQueue::Stop() {
  {
    absl::MutexLock lock(&mutex_);
    stopped_ = true;
    for (auto& queue : jobs_) queue.clear();
    any_job_.SignalAll();
    urgent_job_.SignalAll();
  }
  for (std::thread& thread : threads_) {
    if (thread.joinable()) thread.join();
  }
}

bool WorkQueue::HasJob(bool takes_joins) const {
  return !jobs_[0].empty() || !jobs_[1].empty() || (takes_joins && !jobs_[2].empty());
}

void WorkQueue::Run(bool takes_joins) {
  absl::CondVar& wake = takes_joins ? any_job_ : urgent_job_;
  int& idle = takes_joins ? idle_any_ : idle_urgent_;
  mutex_.Lock();
  while (true) {
    while (!stopped_ && !HasJob(takes_joins)) {
      ++idle;
      wake.Wait(&mutex_);
      --idle;
    }
    if (stopped_) break;
    auto queue = std::find_if(jobs_.begin(), jobs_.end(), [](const auto& q) { return !q.empty(); });
    std::function<void()> job = std::move(queue->front());
    queue->pop_front();
    mutex_.Unlock();
    job();
    job = nullptr;
    mutex_.Lock();
  }
  mutex_.Unlock();
}

}  // namespace countersign::control::identity
