#include "control/identity/work_queue.h"

#include <gtest/gtest.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>

namespace countersign::control::identity {
namespace {

// Jobs are numbers in boxes, as they can only be moved.
using Job = std::unique_ptr<int>;

class WorkQueueTest : public ::testing::Test {
 protected:
  using Queue = WorkQueue<Job>;

  void Start(WorkQueueOptions options = {}) {
    queue_.emplace(options, [this](Priority priority, std::vector<Job> jobs) {
      std::unique_lock<std::mutex> lock(mutex_);
      if (priority == Priority::kJoin) {
        joins_busy_ = true;
        changed_.notify_all();
        changed_.wait(lock, [this] { return joins_may_go_on_; });
        batches_.emplace_back();
        for (const Job& job : jobs) batches_.back().push_back(*job);
      } else {
        urgent_ += static_cast<int>(jobs.size());
      }
      changed_.notify_all();
    });
  }
  // Has the thread that takes joins wait in the middle of the first.
  void HoldJoins() {
    ASSERT_TRUE(queue_->Submit(Priority::kJoin, std::make_unique<int>(0)));
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return joins_busy_; });
  }
  void LetJoinsGoOn() {
    const std::lock_guard<std::mutex> lock(mutex_);
    joins_may_go_on_ = true;
    changed_.notify_all();
  }
  std::vector<std::vector<int>> WaitForBatches(size_t count) {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [&] { return batches_.size() >= count; });
    return batches_;
  }

  std::mutex mutex_;
  std::condition_variable changed_;
  bool joins_busy_ = false;
  bool joins_may_go_on_ = false;
  int urgent_ = 0;
  std::vector<std::vector<int>> batches_;
  std::optional<Queue> queue_;
};

TEST_F(WorkQueueTest, JoinsThatWaitAreServedTogetherInTheirOrder) {
  Start({.join_batch = 4});
  HoldJoins();
  for (int i = 1; i <= 6; ++i) {
    ASSERT_TRUE(queue_->Submit(Priority::kJoin, std::make_unique<int>(i)));
  }
  LetJoinsGoOn();
  EXPECT_EQ(WaitForBatches(3), (std::vector<std::vector<int>>{{0}, {1, 2, 3, 4}, {5, 6}}));
}

TEST_F(WorkQueueTest, RenewalsDoNotWaitForJoins) {
  Start();
  HoldJoins();
  for (int i = 0; i < 3; ++i) {
    ASSERT_TRUE(queue_->Submit(Priority::kRenewal, std::make_unique<int>(i)));
    ASSERT_TRUE(queue_->Submit(Priority::kReattest, std::make_unique<int>(i)));
  }
  {
    std::unique_lock<std::mutex> lock(mutex_);
    changed_.wait(lock, [this] { return urgent_ == 6; });
    EXPECT_TRUE(batches_.empty());
  }
  LetJoinsGoOn();
}

TEST_F(WorkQueueTest, MoreThanTheLimitIsRefusedAndLeftToItsOwner) {
  Start({.limits = {1, 1, 2}});
  HoldJoins();
  ASSERT_TRUE(queue_->Submit(Priority::kJoin, std::make_unique<int>(1)));
  ASSERT_TRUE(queue_->Submit(Priority::kJoin, std::make_unique<int>(2)));
  Job third = std::make_unique<int>(3);
  EXPECT_FALSE(queue_->Submit(Priority::kJoin, std::move(third)));
  ASSERT_NE(third, nullptr);
  EXPECT_EQ(*third, 3);
  LetJoinsGoOn();
  EXPECT_EQ(WaitForBatches(2), (std::vector<std::vector<int>>{{0}, {1, 2}}));
}

TEST_F(WorkQueueTest, NothingIsServedAfterStop) {
  Start();
  HoldJoins();
  ASSERT_TRUE(queue_->Submit(Priority::kJoin, std::make_unique<int>(1)));
  std::thread stopper([this] { queue_->Stop(); });
  // Refused from the moment that Stop has the lock.
  while (queue_->Submit(Priority::kRenewal, std::make_unique<int>(2))) std::this_thread::yield();
  LetJoinsGoOn();
  stopper.join();
  EXPECT_EQ(WaitForBatches(1), (std::vector<std::vector<int>>{{0}}));
}

}  // namespace
}  // namespace countersign::control::identity
