#include "proxy/upstream/lb/host_levels.h"

#include <map>
#include <string>

#include "gtest/gtest.h"

namespace countersign::upstream {
namespace {

class HostLevelsTest : public ::testing::Test {
 protected:
  Host& Add(uint32_t priority, const std::string& region = "", const std::string& zone = "",
            bool healthy = true) {
    auto host = std::make_unique<Host>();
    host->endpoint.address =
        net::Address(net::IpAddress::V4({10, 0, 0, static_cast<uint8_t>(hosts_.size())}), 80);
    host->endpoint.priority = priority;
    host->endpoint.locality = {region, zone, ""};
    host->ejected = !healthy;
    hosts_.push_back(std::move(host));
    return *hosts_.back();
  }
  // The share of choices that the predicate holds for.
  template <typename Predicate>
  double Share(Predicate predicate) {
    HostLevels levels(config_, own_, hosts_, random_);
    int count = 0;
    for (int i = 0; i < 10'000; ++i) count += predicate(*levels.Choose({}, now_));
    return count / 10'000.0;
  }
  double ShareOfPriority(uint32_t priority) {
    return Share([=](const Host& host) { return host.endpoint.priority == priority; });
  }
  double ShareOfZone(const std::string& zone) {
    return Share([&](const Host& host) { return host.endpoint.locality.zone == zone; });
  }

  config::Cluster config_;
  config::Locality own_;
  std::vector<std::unique_ptr<Host>> hosts_;
  Random random_{11};
  event::Instant now_{std::chrono::hours(1)};
};

TEST_F(HostLevelsTest, TheSecondPriorityTakesWhatTheFirstCannotCarry) {
  for (int i = 0; i < 10; ++i) Add(0, "", "", /*healthy=*/i < 5);
  for (int i = 0; i < 10; ++i) Add(1);
  EXPECT_NEAR(ShareOfPriority(0), 0.70, 0.03);
  EXPECT_NEAR(ShareOfPriority(1), 0.30, 0.03);
}

TEST_F(HostLevelsTest, UnhealthyHostsGetNothingWhileThereAreEnoughOthers) {
  Host& ill = Add(0, "", "", /*healthy=*/false);
  for (int i = 0; i < 9; ++i) Add(0);
  EXPECT_EQ(Share([&](const Host& host) { return &host == &ill; }), 0);
}

TEST_F(HostLevelsTest, InPanicAllAreUsed) {
  for (int i = 0; i < 10; ++i) Add(0, "", "", /*healthy=*/i < 3);
  EXPECT_NEAR(Share([](const Host& host) { return !host.healthy(); }), 0.7, 0.03);
  config_.panic_percent = 0;
  EXPECT_EQ(Share([](const Host& host) { return !host.healthy(); }), 0);
}

TEST_F(HostLevelsTest, DegradedHostsAreUsedForWhatTheHealthyCannotCarry) {
  for (int i = 0; i < 10; ++i) Add(0).endpoint.healthy = i < 5;
  EXPECT_NEAR(Share([](const Host& host) { return host.degraded(); }), 0.3, 0.03);
  for (const auto& host : hosts_) host->endpoint.healthy = false;
  EXPECT_EQ(Share([](const Host& host) { return host.degraded(); }), 1);
}

TEST_F(HostLevelsTest, OwnZoneThenRegionThenTheRest) {
  own_ = {"eu", "eu-a", ""};
  for (int i = 0; i < 10; ++i) {
    Add(0, "eu", "eu-a");
    Add(0, "eu", "eu-b");
    Add(0, "us", "us-a");
  }
  EXPECT_EQ(ShareOfZone("eu-a"), 1);
  for (const auto& host : hosts_) {
    if (host->endpoint.locality.zone == "eu-a") host->ejected = true;
  }
  EXPECT_EQ(ShareOfZone("eu-b"), 1);
  // Half of the region's others are left: 70 in a hundred stay, the rest goes abroad.
  int left = 5;
  for (const auto& host : hosts_) {
    if (host->endpoint.locality.zone == "eu-b" && left-- > 0) host->ejected = true;
  }
  EXPECT_NEAR(ShareOfZone("eu-b"), 0.70, 0.03);
  EXPECT_NEAR(ShareOfZone("us-a"), 0.30, 0.03);
}

TEST_F(HostLevelsTest, NearnessNeverOverridesPriority) {
  own_ = {"eu", "eu-a", ""};
  for (int i = 0; i < 4; ++i) Add(1, "eu", "eu-a");
  for (int i = 0; i < 4; ++i) Add(0, "us", "us-a");
  EXPECT_EQ(ShareOfPriority(0), 1);
}

TEST_F(HostLevelsTest, WithoutPreferenceOrLocalityAllAreEquallyNear) {
  for (int i = 0; i < 5; ++i) {
    Add(0, "eu", "eu-a");
    Add(0, "us", "us-a");
  }
  EXPECT_NEAR(ShareOfZone("us-a"), 0.5, 0.03);
  own_ = {"eu", "eu-a", ""};
  config_.prefer_locality = false;
  EXPECT_NEAR(ShareOfZone("us-a"), 0.5, 0.03);
}

TEST_F(HostLevelsTest, AKeyStaysInItsLevel) {
  for (int i = 0; i < 10; ++i) Add(0, "", "", /*healthy=*/i < 5);
  for (int i = 0; i < 10; ++i) Add(1);
  config_.lb_policy = config::LbPolicy::kMaglev;
  HostLevels levels(config_, own_, hosts_, random_);
  for (uint64_t key = 0; key < 200; ++key) {
    EXPECT_EQ(levels.Choose({key, {}}, now_), levels.Choose({key, {}}, now_));
  }
}

}  // namespace
}  // namespace countersign::upstream
