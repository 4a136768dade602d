#include "proxy/event/timer_queue.h"

#include <algorithm>
#include <memory>
#include <random>
#include <vector>

#include "gtest/gtest.h"

namespace countersign::event {
namespace {

using std::chrono::milliseconds;

struct Waiter {
  explicit Waiter(TimerQueue& queue, std::vector<int>* log, int name)
      : timer(queue, this,
              [](void* self) {
                Waiter* waiter = static_cast<Waiter*>(self);
                waiter->log->push_back(waiter->name);
              }),
        log(log),
        name(name) {}
  Timer timer;
  std::vector<int>* log;
  int name;
};

class TimerQueueTest : public ::testing::Test {
 protected:
  void Advance(int ms) {
    clock_.Advance(milliseconds(ms));
    queue_.UpdateNow();
    queue_.RunDue();
  }
  SimulatedClock clock_{absl::FromUnixSeconds(1'700'000'000)};
  TimerQueue queue_{clock_};
  std::vector<int> log_;
};

TEST_F(TimerQueueTest, FiresInOrderOfDeadline) {
  Waiter a(queue_, &log_, 1), b(queue_, &log_, 2), c(queue_, &log_, 3);
  a.timer.Arm(milliseconds(30));
  b.timer.Arm(milliseconds(10));
  c.timer.Arm(milliseconds(20));
  Advance(9);
  EXPECT_TRUE(log_.empty());
  Advance(21);
  EXPECT_EQ(log_, (std::vector<int>{2, 3, 1}));
  EXPECT_FALSE(a.timer.armed());
  EXPECT_TRUE(queue_.empty());
}

TEST_F(TimerQueueTest, CancelledAndDestroyedTimersNeverFire) {
  Waiter a(queue_, &log_, 1);
  auto b = std::make_unique<Waiter>(queue_, &log_, 2);
  a.timer.Arm(milliseconds(5));
  b->timer.Arm(milliseconds(5));
  a.timer.Cancel();
  b.reset();
  Advance(10);
  EXPECT_TRUE(log_.empty());
}

TEST_F(TimerQueueTest, ArmingAgainReplacesTheDeadline) {
  Waiter a(queue_, &log_, 1);
  a.timer.Arm(milliseconds(5));
  a.timer.Arm(milliseconds(50));
  Advance(10);
  EXPECT_TRUE(log_.empty());
  Advance(40);
  EXPECT_EQ(log_.size(), 1);
}

TEST_F(TimerQueueTest, ACallbackMayDestroyAnotherDueTimer) {
  auto victim = std::make_unique<Waiter>(queue_, &log_, 2);
  struct Killer {
    std::unique_ptr<Waiter>* victim;
  } killer{&victim};
  Timer timer(queue_, &killer, [](void* self) { static_cast<Killer*>(self)->victim->reset(); });
  timer.Arm(milliseconds(1));
  victim->timer.Arm(milliseconds(2));
  Advance(5);
  EXPECT_TRUE(log_.empty());
}

TEST_F(TimerQueueTest, ATimerThatArmsItselfForNowDoesNotSpin) {
  struct Loop {
    Timer* timer;
    int runs = 0;
  } loop;
  Timer timer(queue_, &loop, [](void* self) {
    ++static_cast<Loop*>(self)->runs;
    static_cast<Loop*>(self)->timer->Arm(milliseconds(1));
  });
  loop.timer = &timer;
  timer.Arm(milliseconds(0));
  Advance(0);
  EXPECT_EQ(loop.runs, 1);
  Advance(1);
  EXPECT_EQ(loop.runs, 2);
}

TEST_F(TimerQueueTest, ManyTimersKeepTheirOrder) {
  std::minstd_rand random(3);
  std::vector<std::unique_ptr<Waiter>> waiters;
  for (int i = 0; i < 1000; ++i) {
    waiters.push_back(std::make_unique<Waiter>(queue_, &log_, static_cast<int>(random() % 500)));
    waiters.back()->timer.Arm(milliseconds(waiters.back()->name));
  }
  for (int i = 0; i < 1000; i += 3) waiters[i]->timer.Cancel();
  Advance(1000);
  EXPECT_EQ(log_.size(), 666);
  EXPECT_TRUE(std::is_sorted(log_.begin(), log_.end()));
}

}  // namespace
}  // namespace countersign::event
