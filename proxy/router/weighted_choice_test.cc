#include "proxy/router/weighted_choice.h"

#include <map>

#include "gtest/gtest.h"

namespace countersign::router {
namespace {

TEST(WeightedChoiceTest, ClustersAreTakenInProportionToTheirWeights) {
  config::ForwardAction action{.clusters = {{.cluster = "a", .weight = 90},
                                            {.cluster = "b", .weight = 10},
                                            {.cluster = "never", .weight = 0}},
                               .total_weight = 100};
  Dice dice(3);
  std::map<std::string, int> taken;
  for (int i = 0; i < 100'000; ++i) ++taken[ChooseCluster(action, dice)->cluster];
  EXPECT_NEAR(taken["a"], 90'000, 500);
  EXPECT_NEAR(taken["b"], 10'000, 500);
  EXPECT_EQ(taken.count("never"), 0u);
}

TEST(WeightedChoiceTest, WithoutAnyWeightThereIsNoChoice) {
  Dice dice(3);
  EXPECT_EQ(ChooseCluster({.clusters = {{.cluster = "a", .weight = 0}}}, dice), nullptr);
  EXPECT_EQ(ChooseCluster({.clusters = {{.cluster = "a", .weight = 0}, {.weight = 0}}}, dice),
            nullptr);
  EXPECT_EQ(ChooseCluster({}, dice), nullptr);
}

TEST(DiceTest, AShareOfAMillionIsThatShare) {
  Dice dice(5);
  int hits = 0;
  for (int i = 0; i < 1'000'000; ++i) hits += dice.PerMillion(2'500) ? 1 : 0;
  EXPECT_NEAR(hits, 2'500, 250);
  EXPECT_FALSE(dice.PerMillion(0));
  for (int i = 0; i < 1000; ++i) ASSERT_TRUE(dice.PerMillion(1'000'000));
}

}  // namespace
}  // namespace countersign::router
