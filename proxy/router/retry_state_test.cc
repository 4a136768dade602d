#include "proxy/router/retry_state.h"

#include "gtest/gtest.h"

namespace countersign::router {
namespace {

using config::RetryPolicy;

RetryState State(const RetryPolicy& policy) {
  RetryState state;
  state.Begin(policy);
  return state;
}

TEST(RetryStateTest, ASidecarsFlagsTellWhetherItsApplicationWasReached) {
  for (const char* flags : {"UF", "UH", "UF,URX"})
    EXPECT_TRUE(NeverReachedApplication(flags)) << flags;
  for (const char* flags : {"", "-", "URX", "UC", "UF,UC", "UT", "UO", "DC,UF"}) {
    EXPECT_FALSE(NeverReachedApplication(flags)) << flags;
  }
}

TEST(RetryStateTest, TheDefaultRepeatsOnlyWhatNeverReachedAnApplication) {
  const RetryPolicy policy = config::ForwardAction().retry;
  const RetryState state = State(policy);
  EXPECT_TRUE(state.possible());
  EXPECT_TRUE(state.Wants(TryFailure::kConnect));
  EXPECT_TRUE(state.Wants(TryFailure::kRefused));
  EXPECT_FALSE(state.Wants(TryFailure::kReset));
  EXPECT_FALSE(state.Wants(TryFailure::kTimeout));
  EXPECT_FALSE(state.Wants(503, std::nullopt));
  EXPECT_FALSE(state.Wants(200, http::GrpcStatus::kUnavailable));
}

TEST(RetryStateTest, EachConditionWantsWhatEnvoySaysOfIt) {
  const RetryPolicy five{.on = RetryPolicy::k5xx};
  EXPECT_TRUE(State(five).Wants(500, {}));
  EXPECT_TRUE(State(five).Wants(599, {}));
  EXPECT_FALSE(State(five).Wants(499, {}));
  EXPECT_TRUE(State(five).Wants(TryFailure::kReset));
  EXPECT_TRUE(State(five).Wants(TryFailure::kConnect));
  EXPECT_TRUE(State(five).Wants(TryFailure::kTimeout));
  const RetryPolicy gateway{.on = RetryPolicy::kGatewayError};
  EXPECT_FALSE(State(gateway).Wants(500, {}));
  EXPECT_TRUE(State(gateway).Wants(502, {}));
  EXPECT_TRUE(State(gateway).Wants(504, {}));
  EXPECT_TRUE(State(gateway).Wants(TryFailure::kReset));
  const RetryPolicy conflict{.on = RetryPolicy::kRetriable4xx};
  EXPECT_TRUE(State(conflict).Wants(409, {}));
  EXPECT_FALSE(State(conflict).Wants(404, {}));
  const RetryPolicy codes{.on = RetryPolicy::kRetriableStatusCodes, .status_codes = {418}};
  EXPECT_TRUE(State(codes).Wants(418, {}));
  EXPECT_FALSE(State(codes).Wants(419, {}));
  const RetryPolicy reset{.on = RetryPolicy::kReset};
  EXPECT_TRUE(State(reset).Wants(TryFailure::kReset));
  EXPECT_FALSE(State(reset).Wants(503, {}));
  const RetryPolicy refused{.on = RetryPolicy::kRefusedStream};
  EXPECT_TRUE(State(refused).Wants(TryFailure::kRefused));
  EXPECT_FALSE(State(refused).Wants(TryFailure::kConnect));
}

TEST(RetryStateTest, GrpcConditionsLookAtTheStatusInTheHead) {
  for (const auto& [on, status] : {std::pair<uint32_t, int>{RetryPolicy::kGrpcCancelled, 1},
                                   {RetryPolicy::kGrpcDeadlineExceeded, 4},
                                   {RetryPolicy::kGrpcResourceExhausted, 8},
                                   {RetryPolicy::kGrpcInternal, 13},
                                   {RetryPolicy::kGrpcUnavailable, 14}}) {
    const RetryPolicy policy{.on = on};
    for (int other = 0; other <= 16; ++other) {
      EXPECT_EQ(State(policy).Wants(200, static_cast<http::GrpcStatus>(other)), other == status)
          << on << " " << other;
    }
    EXPECT_FALSE(State(policy).Wants(200, std::nullopt));
  }
}

TEST(RetryStateTest, WhatTheProxyItselfLacksIsNeverTriedAgain) {
  const RetryPolicy everything{.on = ~0u};
  EXPECT_FALSE(State(everything).Wants(TryFailure::kLocal));
}

TEST(RetryStateTest, APolicyThatNamesNothingGivesNothing) {
  EXPECT_FALSE(State({.on = 0, .num_retries = 5}).possible());
  EXPECT_FALSE(State({.on = RetryPolicy::k5xx, .num_retries = 0}).possible());
}

TEST(RetryStateTest, WaitsAreSpreadOverADoublingAndBoundedInterval) {
  const RetryPolicy policy{.on = RetryPolicy::k5xx,
                           .num_retries = 6,
                           .backoff_base = std::chrono::milliseconds(25),
                           .backoff_max = std::chrono::milliseconds(250)};
  const int ceilings[] = {25, 50, 100, 200, 250, 250};
  int longest[6] = {};
  int shortest[6];
  std::fill(std::begin(shortest), std::end(shortest), 1000);
  Dice dice(9);
  for (int round = 0; round < 5000; ++round) {
    RetryState state = State(policy);
    for (int i = 0; i < 6; ++i) {
      ASSERT_TRUE(state.possible());
      const int wait = static_cast<int>(state.Take(dice).count());
      ASSERT_LT(wait, ceilings[i]);
      longest[i] = std::max(longest[i], wait);
      shortest[i] = std::min(shortest[i], wait);
    }
    ASSERT_FALSE(state.possible());
    ASSERT_TRUE(state.exhausted());
  }
  for (int i = 0; i < 6; ++i) {
    EXPECT_EQ(longest[i], ceilings[i] - 1);
    EXPECT_EQ(shortest[i], 0);
  }
}

}  // namespace
}  // namespace countersign::router
