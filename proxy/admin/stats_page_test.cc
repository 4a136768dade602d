#include "proxy/admin/stats_page.h"

#include <nlohmann/json.hpp>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::admin {
namespace {

using ::testing::HasSubstr;

constexpr char kMetrics[] =
    "# HELP requests_total Requests.\n"
    "# TYPE requests_total counter\n"
    "requests_total{who=\"a b\"} 3\n"
    "requests_total{who=\"c\"} 4\n"
    "took_ms_sum 1.5\n"
    "open -2\n";

TEST(StatsPageTest, WithoutAFilterAllSamplesStandThere) {
  EXPECT_EQ(*RenderStats(kMetrics, "", StatsFormat::kText),
            "requests_total{who=\"a b\"} 3\nrequests_total{who=\"c\"} 4\ntook_ms_sum 1.5\nopen "
            "-2\n");
}

TEST(StatsPageTest, AFilterLooksAtNameAndLabels) {
  EXPECT_EQ(*RenderStats(kMetrics, "^requests.*who=\"c\"", StatsFormat::kText),
            "requests_total{who=\"c\"} 4\n");
  EXPECT_EQ(*RenderStats(kMetrics, "nothing", StatsFormat::kText), "");
}

TEST(StatsPageTest, JsonHasNumbers) {
  const auto page = nlohmann::json::parse(*RenderStats(kMetrics, "", StatsFormat::kJson));
  EXPECT_EQ(page["stats"].size(), 4u);
  EXPECT_EQ(page["stats"][0]["name"], "requests_total{who=\"a b\"}");
  EXPECT_EQ(page["stats"][2]["value"], 1.5);
  EXPECT_EQ(page["stats"][3]["value"], -2);
}

TEST(StatsPageTest, ABrokenOrHugeExpressionIsRefusedWithItsReason) {
  EXPECT_THAT(std::string(RenderStats(kMetrics, "(", StatsFormat::kText).status().message()),
              HasSubstr("missing )"));
  EXPECT_FALSE(RenderStats(kMetrics, "((a{100}){100}){100}", StatsFormat::kText).ok());
}

}  // namespace
}  // namespace countersign::admin
