#include "proxy/stats/registry.h"

#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::stats {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

constexpr Family kCalls{
    "test_calls_total", "Calls; a \\ and a\nnew line.", Type::kCounter, {"who"}};
constexpr Family kOpen{"test_open", "Open.", Type::kGauge, {}};

TEST(RegistryTest, SumsTheCellsOfAllThreads) {
  Registry registry;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      Cell& cell = registry.Get(kCalls, {"web"});
      for (int n = 0; n < 1000; ++n) {
        cell.Add(1);
      }
    });
  }
  for (int i = 0; i < 100; ++i) {
    registry.Serialize();  // concurrently with the writers
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_THAT(registry.Serialize(), HasSubstr("test_calls_total{who=\"web\"} 4000\n"));
}

TEST(RegistryTest, OneThreadGetsTheSameCellAgain) {
  Registry registry;
  EXPECT_EQ(&registry.Get(kCalls, {"a"}), &registry.Get(kCalls, {"a"}));
  EXPECT_NE(&registry.Get(kCalls, {"a"}), &registry.Get(kCalls, {"b"}));
}

TEST(RegistryTest, GaugesMayFallBelowZero) {
  Registry registry;
  registry.Get(kOpen, {}).Sub(3);
  EXPECT_THAT(registry.Serialize(), HasSubstr("test_open -3\n"));
}

TEST(RegistryTest, EscapesLabelValuesAndHelp) {
  Registry registry;
  registry.Get(kCalls, {"a\"b\\c\nd\xFF\xC3\xA9"}).Add(1);
  EXPECT_EQ(registry.Serialize(),
            "# HELP test_calls_total Calls; a \\\\ and a\\nnew line.\n"
            "# TYPE test_calls_total counter\n"
            "test_calls_total{who=\"a\\\"b\\\\c\\nd\xEF\xBF\xBD\xC3\xA9\"} 1\n");
}

TEST(RegistryTest, SeriesBeyondTheCapShareOne) {
  Registry registry;
  for (int i = 0; i < 2500; ++i) {
    registry.Get(kCalls, {absl::StrCat("caller-", i)}).Add(1);
  }
  const std::string text = registry.Serialize();
  EXPECT_THAT(text, HasSubstr("test_calls_total{who=\"caller-1999\"} 1\n"));
  EXPECT_THAT(text, Not(HasSubstr("caller-2000")));
  EXPECT_THAT(text, HasSubstr("test_calls_total{who=\"other\"} 500\n"));
  EXPECT_THAT(text,
              HasSubstr("countersign_stats_series_capped_total{family=\"test_calls_total\"} 500"));
}

TEST(RegistryTest, HandlesOutliveLaterGrowth) {
  Registry registry;
  Cell& early = registry.Get(kCalls, {"early"});
  for (int i = 0; i < 1999; ++i) {
    registry.Get(kCalls, {absl::StrCat(i)});
  }
  early.Add(7);
  EXPECT_THAT(registry.Serialize(), HasSubstr("test_calls_total{who=\"early\"} 7\n"));
}

TEST(RegistryTest, ReleasedSeriesAreGoneAndMakeRoom) {
  Registry registry;
  for (int i = 0; i < 10'000; ++i) {
    registry.Get(kCalls, {absl::StrCat("peer-", i)}).Add(1);
    registry.Release(kCalls, {absl::StrCat("peer-", i)});
  }
  EXPECT_EQ(registry.Serialize(), "");
  registry.Release(kCalls, {"never there"});
}

TEST(RegistryTest, ASeriesStaysWhileAnotherThreadHasACellOfIt) {
  Registry registry;
  registry.Get(kCalls, {"shared"}).Add(2);
  std::thread other([&] {
    registry.Get(kCalls, {"shared"}).Add(5);
    registry.Release(kCalls, {"shared"});
  });
  other.join();
  EXPECT_THAT(registry.Serialize(), HasSubstr("{who=\"shared\"} 2\n"));
}

TEST(RegistryTest, OverlongLabelValuesAreCut) {
  Registry registry;
  registry.Get(kCalls, {std::string(100'000, 'x')}).Add(1);
  EXPECT_LT(registry.Serialize().size(), 1000u);
}

constexpr Family kTook{"test_took_milliseconds",  "How long.", Type::kHistogram, {"who"},
                       {500, 1'000, 300'000'000}, 1000};

TEST(RegistryTest, HistogramsAreCumulativeInTheUnitOfTheirName) {
  Registry registry;
  Histogram& took = registry.AcquireHistogram(kTook, {{"a\"b"}});
  for (const uint64_t microseconds : {0, 500, 501, 1'000, 2'250, 400'000'000}) {
    took.Record(microseconds);
  }
  EXPECT_EQ(registry.Serialize(),
            "# HELP test_took_milliseconds How long.\n"
            "# TYPE test_took_milliseconds histogram\n"
            "test_took_milliseconds_bucket{who=\"a\\\"b\",le=\"0.5\"} 2\n"
            "test_took_milliseconds_bucket{who=\"a\\\"b\",le=\"1\"} 4\n"
            "test_took_milliseconds_bucket{who=\"a\\\"b\",le=\"300000\"} 5\n"
            "test_took_milliseconds_bucket{who=\"a\\\"b\",le=\"+Inf\"} 6\n"
            "test_took_milliseconds_sum{who=\"a\\\"b\"} 400004.251\n"
            "test_took_milliseconds_count{who=\"a\\\"b\"} 6\n");
}

TEST(RegistryTest, HistogramsOfSeveralThreadsAreSummed) {
  Registry registry;
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      Histogram& took = registry.AcquireHistogram(kTook, {{"all"}});
      for (int n = 0; n < 1000; ++n) took.Record(1000);
    });
  }
  for (int i = 0; i < 100; ++i) registry.Serialize();
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(registry.Serialize(), HasSubstr("_sum{who=\"all\"} 4000\n"));
  EXPECT_THAT(registry.Serialize(), HasSubstr("le=\"1\"} 4000\n"));
}

}  // namespace
}  // namespace countersign::stats
