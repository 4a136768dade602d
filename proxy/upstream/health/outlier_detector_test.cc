#include "proxy/upstream/health/outlier_detector.h"

#include <string>
#include <vector>

#include "gtest/gtest.h"

namespace countersign::upstream {
namespace {

using std::chrono::seconds;

class OutlierDetectorTest : public ::testing::Test, private OutlierDetector::Owner {
 protected:
  void Start(size_t hosts) {
    config_.enabled = true;
    for (size_t i = 0; i < hosts; ++i) hosts_.push_back(std::make_unique<Host>());
    detector_ = std::make_unique<OutlierDetector>(
        dispatcher_, static_cast<OutlierDetector::Owner&>(*this), config_);
    detector_->OnHostsChanged();
  }
  void Answer(size_t host, uint16_t status, int times = 1) {
    for (int i = 0; i < times; ++i) {
      detector_->OnOutcome(*hosts_[host], {Outcome::Kind::kResponse, status, {}});
    }
  }
  void Fail(size_t host, Outcome::Kind kind, int times) {
    for (int i = 0; i < times; ++i) detector_->OnOutcome(*hosts_[host], {kind, 0, {}});
  }
  void Advance(seconds by) {
    for (; by.count() > 0; by -= seconds(1)) {
      clock_.Advance(seconds(1));
      dispatcher_.RunTurn(/*wait=*/false);
    }
  }

  absl::Span<const std::unique_ptr<Host>> judged_hosts() const override { return hosts_; }
  void OnEjected(Host&, EjectionCause cause, const std::string& sentence) override {
    causes_.push_back(EjectionCauseLabel(cause));
    last_ = sentence;
  }
  void OnUnejected(Host&) override { ++unejected_; }
  void OnEjectionRefused(Host&, EjectionCause) override { ++refused_; }

  event::SimulatedClock clock_{absl::Now()};
  event::Dispatcher dispatcher_{clock_};
  config::OutlierDetection config_;
  std::vector<std::unique_ptr<Host>> hosts_;
  std::unique_ptr<OutlierDetector> detector_;
  std::vector<std::string> causes_;
  std::string last_;
  int unejected_ = 0;
  int refused_ = 0;
};

TEST_F(OutlierDetectorTest, FiveFailuresInARowEject) {
  Start(10);
  Answer(0, 500, 4);
  Answer(0, 200);
  Answer(0, 503, 4);
  EXPECT_FALSE(hosts_[0]->ejected);
  Answer(0, 503);
  EXPECT_TRUE(hosts_[0]->ejected);
  EXPECT_EQ(causes_, std::vector<std::string>{"consecutive_5xx"});
  EXPECT_EQ(last_, "for 30 s, because of 5 failures (5xx, or no answer) in a row");
}

TEST_F(OutlierDetectorTest, NoAnswerCountsLikeAFailure) {
  Start(10);
  Fail(0, Outcome::Kind::kConnectFailure, 2);
  Fail(0, Outcome::Kind::kReset, 2);
  Fail(0, Outcome::Kind::kTimeout, 1);
  EXPECT_TRUE(hosts_[0]->ejected);
}

TEST_F(OutlierDetectorTest, ClientErrorsNeverEject) {
  Start(10);
  Answer(0, 404, 100);
  Answer(0, 429, 100);
  EXPECT_FALSE(hosts_[0]->ejected);
}

TEST_F(OutlierDetectorTest, GatewayFailuresAreCountedByThemselves) {
  config_.consecutive_gateway_failure = 3;
  Start(10);
  Answer(0, 502, 2);
  Answer(0, 500);  // no gateway failure
  Answer(0, 504);
  EXPECT_FALSE(hosts_[0]->ejected);
  Answer(1, 503, 3);
  EXPECT_TRUE(hosts_[1]->ejected);
  EXPECT_EQ(causes_, std::vector<std::string>{"consecutive_gateway_failure"});
}

TEST_F(OutlierDetectorTest, TheTimeGrowsWithEachEjectionAndShrinksWithGoodIntervals) {
  Start(10);
  Answer(0, 500, 5);
  Advance(seconds(29));
  EXPECT_TRUE(hosts_[0]->ejected);
  Advance(seconds(1));
  EXPECT_FALSE(hosts_[0]->ejected);
  EXPECT_EQ(unejected_, 1);
  Answer(0, 500, 5);
  EXPECT_EQ(last_.substr(0, 9), "for 60 s,");
  Advance(seconds(60));
  EXPECT_FALSE(hosts_[0]->ejected);
  Advance(seconds(20));  // two good intervals
  Answer(0, 500, 5);
  EXPECT_EQ(last_.substr(0, 9), "for 30 s,");
}

TEST_F(OutlierDetectorTest, NoEjectionLastsLongerThanTheMaximum) {
  config_.max_ejection_time = seconds(70);
  Start(10);
  for (int i = 0; i < 3; ++i) {
    Answer(0, 500, 5);
    Advance(seconds(30 * (i + 1)));
  }
  EXPECT_EQ(last_.substr(0, 9), "for 70 s,");
}

TEST_F(OutlierDetectorTest, OneMayAlwaysBeEjectedAndNoMoreThanTheShare) {
  Start(10);  // a tenth: one
  Answer(0, 500, 5);
  Answer(1, 500, 5);
  EXPECT_TRUE(hosts_[0]->ejected);
  EXPECT_FALSE(hosts_[1]->ejected);
  EXPECT_EQ(refused_, 1);

  hosts_.clear();
  Start(1);
  Answer(0, 500, 5);
  EXPECT_TRUE(hosts_[0]->ejected);
}

TEST_F(OutlierDetectorTest, TheShareIsExact) {
  config_.max_ejection_percent = 30;
  Start(10);
  for (size_t i = 0; i < 10; ++i) Answer(i, 500, 5);
  EXPECT_EQ(detector_->ejected(), 3);
  EXPECT_EQ(refused_, 7);
}

TEST_F(OutlierDetectorTest, AHostWellBelowTheOthersSuccessRateIsEjected) {
  config_.consecutive_5xx = 0;
  Start(10);
  for (size_t i = 0; i < 10; ++i) {
    Answer(i, 200, i == 3 ? 150 : 198);
    Answer(i, 500, i == 3 ? 50 : 2);
  }
  Advance(seconds(10));
  EXPECT_TRUE(hosts_[3]->ejected);
  EXPECT_EQ(detector_->ejected(), 1);
  EXPECT_EQ(causes_, std::vector<std::string>{"success_rate"});
  EXPECT_NE(last_.find("75.0 %"), std::string::npos) << last_;
}

TEST_F(OutlierDetectorTest, SuccessRatesNeedEnoughHostsAndRequests) {
  config_.consecutive_5xx = 0;
  Start(10);
  for (size_t i = 0; i < 4; ++i) Answer(i, i == 0 ? 500 : 200, 200);  // four hosts are too few
  for (size_t i = 4; i < 10; ++i) Answer(i, i == 5 ? 500 : 200, 99);  // 99 requests too
  Advance(seconds(10));
  EXPECT_EQ(detector_->ejected(), 0);
}

TEST_F(OutlierDetectorTest, AtRestNoTimerRuns) {
  Start(10);
  EXPECT_TRUE(dispatcher_.timers().empty());
  Answer(0, 200);
  EXPECT_FALSE(dispatcher_.timers().empty());
  Advance(seconds(20));
  EXPECT_TRUE(dispatcher_.timers().empty());
}

TEST_F(OutlierDetectorTest, TurnedOffItLetsEverybodyBackIn) {
  Start(10);
  Answer(0, 500, 5);
  config_.enabled = false;
  detector_->SetConfig(config_);
  EXPECT_FALSE(hosts_[0]->ejected);
  EXPECT_EQ(unejected_, 1);
  Answer(0, 500, 50);
  EXPECT_FALSE(hosts_[0]->ejected);
}

}  // namespace
}  // namespace countersign::upstream
