// The tables of Envoy's documentation, "Priority levels" and "Panic threshold".
#include "proxy/upstream/lb/priority_load.h"

#include "gtest/gtest.h"

namespace countersign::upstream {
namespace {

// Levels of a hundred hosts each, by how many of them are healthy.
std::vector<LevelLoad> Loads(const std::vector<uint32_t>& healthy, uint32_t panic = 50) {
  std::vector<LevelHealth> levels;
  for (const uint32_t count : healthy) levels.push_back({count, 100});
  return DistributeLoad(levels, 140, panic);
}

std::vector<uint32_t> Percents(const std::vector<uint32_t>& healthy) {
  std::vector<uint32_t> percents;
  for (const LevelLoad& load : Loads(healthy)) percents.push_back(load.percent);
  return percents;
}

using Row = std::vector<uint32_t>;

TEST(PriorityLoadTest, TwoLevelsWithAHealthySecond) {
  EXPECT_EQ(Percents({100, 100}), Row({100, 0}));
  EXPECT_EQ(Percents({72, 100}), Row({100, 0}));
  EXPECT_EQ(Percents({71, 100}), Row({99, 1}));
  EXPECT_EQ(Percents({50, 100}), Row({70, 30}));
  EXPECT_EQ(Percents({25, 100}), Row({35, 65}));
  EXPECT_EQ(Percents({0, 100}), Row({0, 100}));
}

TEST(PriorityLoadTest, TwoLevelsThatBothSuffer) {
  EXPECT_EQ(Percents({72, 72}), Row({100, 0}));
  EXPECT_EQ(Percents({71, 71}), Row({99, 1}));
  EXPECT_EQ(Percents({50, 50}), Row({70, 30}));
  EXPECT_EQ(Percents({25, 25}), Row({50, 50}));
}

TEST(PriorityLoadTest, ThreeLevels) {
  EXPECT_EQ(Percents({100, 100, 100}), Row({100, 0, 0}));
  EXPECT_EQ(Percents({72, 72, 100}), Row({100, 0, 0}));
  EXPECT_EQ(Percents({71, 71, 100}), Row({99, 1, 0}));
  EXPECT_EQ(Percents({50, 50, 100}), Row({70, 30, 0}));
  EXPECT_EQ(Percents({25, 100, 100}), Row({35, 65, 0}));
  EXPECT_EQ(Percents({25, 25, 100}), Row({35, 35, 30}));
}

TEST(PriorityLoadTest, ThreeLevelsThatCannotCarryAllShareByWhatTheyCan) {
  // The documentation rounds (36, 36, 28); the arithmetic gives what is left over to the first.
  std::vector<LevelHealth> levels = {{25, 100}, {25, 100}, {20, 100}};
  const std::vector<LevelLoad> loads = DistributeLoad(levels, 140, 0);
  EXPECT_EQ(loads[0].percent, 37);
  EXPECT_EQ(loads[1].percent, 35);
  EXPECT_EQ(loads[2].percent, 28);
}

TEST(PriorityLoadTest, NobodyPanicsWhileTheOthersCanCarryIt) {
  for (const uint32_t healthy : {72, 71, 50, 25, 0}) {
    for (const LevelLoad& load : Loads({healthy, 100})) EXPECT_FALSE(load.panic);
  }
}

TEST(PriorityLoadTest, BelowTheThresholdALevelPanicsOnceTogetherTheyCannotCarryIt) {
  EXPECT_EQ(Loads({72, 72}), (std::vector<LevelLoad>{{100, 0, false}, {0, 0, false}}));
  EXPECT_EQ(Loads({25, 25}), (std::vector<LevelLoad>{{50, 0, true}, {50, 0, true}}));
  // 7 and 91 of 98; the documentation rounds the first to 7.
  EXPECT_EQ(Loads({5, 65}), (std::vector<LevelLoad>{{8, 0, true}, {92, 0, false}}));
}

TEST(PriorityLoadTest, WithoutAThresholdNobodyPanicsAndNoHealthyHostMeansNoHost) {
  EXPECT_EQ(Loads({0, 0}, /*panic=*/0), (std::vector<LevelLoad>{{0, 0, false}, {0, 0, false}}));
}

TEST(PriorityLoadTest, WhenAllPanicTrafficGoesByTheNumbersOfHosts) {
  const std::vector<LevelHealth> levels = {{0, 30}, {0, 10}};
  EXPECT_EQ(DistributeLoad(levels, 140, 50),
            (std::vector<LevelLoad>{{75, 0, true}, {25, 0, true}}));
}

TEST(PriorityLoadTest, DegradedHostsCarryWhatHealthyOnesCannot) {
  const std::vector<LevelHealth> half = {{50, 100, 50}};
  EXPECT_EQ(DistributeLoad(half, 140, 50), (std::vector<LevelLoad>{{70, 30, false}}));
  // The second level's healthy hosts come before the first's degraded ones.
  const std::vector<LevelHealth> two = {{50, 100, 50}, {100, 100, 0}};
  EXPECT_EQ(DistributeLoad(two, 140, 50), (std::vector<LevelLoad>{{70, 0, false}, {30, 0, false}}));
  const std::vector<LevelHealth> none = {{0, 100, 100}};
  EXPECT_EQ(DistributeLoad(none, 140, 0), (std::vector<LevelLoad>{{0, 100, false}}));
}

TEST(PriorityLoadTest, NoHostsMeansNoLoad) {
  EXPECT_EQ(DistributeLoad({}, 140, 50).size(), 0);
  const std::vector<LevelHealth> levels = {{0, 0}, {10, 10}};
  EXPECT_EQ(DistributeLoad(levels, 140, 50)[1].percent, 100);
}

}  // namespace
}  // namespace countersign::upstream
