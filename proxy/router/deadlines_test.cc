#include "proxy/router/deadlines.h"

#include <vector>

#include "gtest/gtest.h"

namespace countersign::router {
namespace {

using std::chrono::milliseconds;

class DeadlinesTest : public ::testing::Test {
 protected:
  void Advance(int ms) {
    clock_.Advance(milliseconds(ms));
    dispatcher_.RunTurn(false);
  }
  static void OnTimer(void* self) {
    DeadlinesTest& test = *static_cast<DeadlinesTest*>(self);
    ++test.fired_;
    if (const auto due = test.deadlines_.Next()) test.due_.push_back(*due);
  }

  event::SimulatedClock clock_{absl::UnixEpoch()};
  event::Dispatcher dispatcher_{clock_};
  Deadlines deadlines_{dispatcher_, this, &OnTimer};
  int fired_ = 0;
  std::vector<Deadlines::Due> due_;
};

TEST_F(DeadlinesTest, TheFirstOfThemIsDueFirst) {
  deadlines_.Begin();
  deadlines_.LimitTotal(milliseconds(300));
  deadlines_.LimitTry(milliseconds(100));
  deadlines_.LimitIdle(milliseconds(200));
  deadlines_.Arm();
  Advance(99);
  EXPECT_TRUE(due_.empty());
  Advance(1);
  ASSERT_EQ(due_.size(), 1u);
  EXPECT_EQ(due_[0].what, Expired::kTry);
  EXPECT_EQ(due_[0].limit, milliseconds(100));
  deadlines_.EndTry();
  deadlines_.Arm();
  Advance(100);
  ASSERT_EQ(due_.size(), 2u);
  EXPECT_EQ(due_[1].what, Expired::kIdle);
}

TEST_F(DeadlinesTest, WhatMovesPutsIdlenessOff) {
  deadlines_.Begin();
  deadlines_.LimitIdle(milliseconds(100));
  deadlines_.Arm();
  for (int i = 0; i < 10; ++i) {
    Advance(60);
    deadlines_.Moved();
  }
  EXPECT_TRUE(due_.empty());
  Advance(99);
  EXPECT_TRUE(due_.empty());
  Advance(1);
  ASSERT_EQ(due_.size(), 1u);
}

TEST_F(DeadlinesTest, RequestsWithTheSameLimitsShareOneTimer) {
  for (int i = 0; i < 1000; ++i) {
    deadlines_.Begin();
    deadlines_.LimitTotal(milliseconds(1000));
    deadlines_.Arm();
    Advance(1);
    deadlines_.End();
  }
  EXPECT_LE(fired_, 1);
  EXPECT_TRUE(due_.empty());
}

TEST_F(DeadlinesTest, AShorterLimitCountsAtOnce) {
  deadlines_.Begin();
  deadlines_.LimitTotal(milliseconds(1000));
  deadlines_.Arm();
  deadlines_.LimitTotal(milliseconds(10));
  deadlines_.Arm();
  Advance(10);
  ASSERT_EQ(due_.size(), 1u);
}

TEST_F(DeadlinesTest, TheClientsDeadlineCountsFromTheBeginning) {
  deadlines_.Begin();
  EXPECT_EQ(deadlines_.call_left(), std::nullopt);
  Advance(40);
  deadlines_.LimitCall(milliseconds(100));
  EXPECT_EQ(deadlines_.call_left(), milliseconds(60));
  deadlines_.Arm();
  Advance(60);
  ASSERT_EQ(due_.size(), 1u);
  EXPECT_EQ(due_[0].what, Expired::kGrpcDeadline);
  EXPECT_EQ(deadlines_.call_left(), milliseconds(0));
}

TEST_F(DeadlinesTest, AWaitEndsOnce) {
  deadlines_.Begin();
  deadlines_.Wait(milliseconds(10));
  deadlines_.Arm();
  Advance(10);
  ASSERT_EQ(due_.size(), 1u);
  EXPECT_TRUE(due_[0].waited);
  deadlines_.Arm();
  Advance(1000);
  EXPECT_EQ(due_.size(), 1u);
}

}  // namespace
}  // namespace countersign::router
