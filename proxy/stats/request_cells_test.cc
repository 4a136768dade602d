#include "proxy/stats/request_cells.h"

#include <algorithm>
#include <cstdlib>
#include <new>
#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace {

std::atomic<uint64_t> allocations{0};

}  // namespace

// Counts what the code under test allocates.
void* operator new(size_t size) {
  allocations.fetch_add(1, std::memory_order_relaxed);
  void* memory = std::malloc(size);
  if (memory == nullptr) std::abort();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace countersign::stats {
namespace {

using std::chrono::microseconds;
using ::testing::HasSubstr;
using ::testing::Not;

RequestLabels Pair(absl::string_view destination = "shop") {
  return {.reporter = "source",
          .source_workload = "web",
          .source_workload_namespace = "front",
          .source_principal = "spiffe://td/ns/front/sa/web",
          .destination_workload = destination,
          .destination_workload_namespace = "back",
          .destination_principal = "spiffe://td/ns/back/sa/shop",
          .destination_service = "shop.back",
          .destination_service_namespace = "back",
          .connection_security_policy = "mutual_tls"};
}

size_t SeriesOf(const std::string& page, absl::string_view metric) {
  size_t count = 0;
  const std::string needle = absl::StrCat("\n", metric, "{");
  for (size_t at = page.find(needle); at != std::string::npos; at = page.find(needle, at + 1)) {
    ++count;
  }
  return count;
}

constexpr char kPairText[] =
    "reporter=\"source\",source_workload=\"web\",source_workload_namespace=\"front\","
    "source_principal=\"spiffe://td/ns/front/sa/web\",destination_workload=\"shop\","
    "destination_workload_namespace=\"back\",destination_principal=\"spiffe://td/ns/back/sa/shop\","
    "destination_service=\"shop.back\",destination_service_namespace=\"back\","
    "connection_security_policy=\"mutual_tls\"";

TEST(RequestCellsTest, ARequestIsCountedWithIstiosLabels) {
  Registry registry;
  RequestCells cells(registry, Pair());
  cells.Record({.status = 503, .flags = "UF,URX", .duration = microseconds(1'500)});
  cells.Record({.status = 200,
                .grpc_status = 14,
                .grpc = true,
                .duration = microseconds(700),
                .request_bytes = 5,
                .response_bytes = 5000});
  const std::string page = registry.Serialize();
  EXPECT_THAT(page, HasSubstr(absl::StrCat("countersign_requests_total{", kPairText,
                                           ",request_protocol=\"http\",response_code=\"503\","
                                           "grpc_response_status=\"\",response_flags=\"UF,URX\"} "
                                           "1\n")));
  EXPECT_THAT(page, HasSubstr(absl::StrCat("countersign_requests_total{", kPairText,
                                           ",request_protocol=\"grpc\",response_code=\"200\","
                                           "grpc_response_status=\"14\",response_flags=\"-\"} "
                                           "1\n")));
  EXPECT_THAT(page, HasSubstr(absl::StrCat("countersign_request_duration_milliseconds_bucket{",
                                           kPairText, ",request_protocol=\"http\",le=\"1\"} 0\n")));
  EXPECT_THAT(page,
              HasSubstr(absl::StrCat("countersign_request_duration_milliseconds_bucket{", kPairText,
                                     ",request_protocol=\"http\",le=\"2.5\"} 1\n")));
  EXPECT_THAT(page, HasSubstr(absl::StrCat("countersign_request_duration_milliseconds_sum{",
                                           kPairText, ",request_protocol=\"http\"} 1.5\n")));
  EXPECT_THAT(page, HasSubstr(absl::StrCat("countersign_response_bytes_sum{", kPairText,
                                           ",request_protocol=\"grpc\"} 5000\n")));
}

TEST(RequestCellsTest, AfterItsFirstUseARecordingAllocatesNothing) {
  Registry registry;
  RequestCells cells(registry, Pair());
  const auto record_all = [&cells] {
    for (const uint16_t status : {200, 404, 503}) {
      cells.Record({.status = status, .flags = "UF,URX"});
      cells.Record({.status = status, .grpc_status = 0, .grpc = true});
      cells.AddMessages(1, 2);
    }
  };
  record_all();
  const uint64_t before = allocations.load();
  for (int i = 0; i < 1000; ++i) record_all();
  EXPECT_EQ(allocations.load(), before);
}

TEST(RequestCellsTest, AnApplicationsOddAnswersAreFolded) {
  Registry registry;
  RequestCells cells(registry, Pair());
  for (int status = 0; status < 65'536; ++status) {
    cells.Record({.status = static_cast<uint16_t>(status)});
  }
  for (int status = 0; status < 10'000; ++status) {
    cells.Record({.status = 200, .grpc_status = status, .grpc = true});
  }
  const std::string page = registry.Serialize();
  EXPECT_EQ(SeriesOf(page, "countersign_requests_total"), 66u);  // 64, and `other` twice
  EXPECT_THAT(page, HasSubstr("request_protocol=\"http\",response_code=\"other\","
                              "grpc_response_status=\"other\",response_flags=\"other\"} 65472\n"));
}

TEST(RequestCellsTest, TwoOfTheSamePairShareTheirSeries) {
  Registry registry;
  RequestCells one(registry, Pair());
  RequestCells two(registry, Pair());
  one.Record({.status = 200});
  two.Record({.status = 200});
  const std::string page = registry.Serialize();
  EXPECT_EQ(SeriesOf(page, "countersign_requests_total"), 1u);
  EXPECT_THAT(page, HasSubstr("response_flags=\"-\"} 2\n"));
}

TEST(RequestCellsTest, SeriesOutliveTheirLastUserForAWhile) {
  Registry registry;
  auto one = std::make_unique<RequestCells>(registry, Pair());
  auto two = std::make_unique<RequestCells>(registry, Pair());
  one->Record({.status = 200});
  two->Record({.status = 200});
  one.reset();
  registry.DropRetired(std::chrono::seconds(0));
  EXPECT_EQ(SeriesOf(registry.Serialize(), "countersign_requests_total"), 1u);
  two->Record({.status = 200});
  two.reset();
  registry.DropRetired(std::chrono::hours(1));
  EXPECT_THAT(registry.Serialize(), HasSubstr("response_flags=\"-\"} 3\n"));
  one = std::make_unique<RequestCells>(registry, Pair());
  one->Record({.status = 200});
  registry.DropRetired(std::chrono::seconds(0));
  EXPECT_THAT(registry.Serialize(), HasSubstr("response_flags=\"-\"} 4\n"));
  one.reset();
  registry.DropRetired(std::chrono::seconds(0));
  EXPECT_EQ(registry.Serialize(), "");
}

TEST(RequestCellsTest, PairsThatAreGoneMakeRoomAtTheCap) {
  Registry registry;
  for (int i = 0; i < 5000; ++i) {
    RequestCells cells(registry, Pair(absl::StrCat("shop-", i)));
    cells.Record({.status = 200});
  }
  const std::string page = registry.Serialize();
  EXPECT_THAT(page, HasSubstr("destination_workload=\"shop-4999\""));
  EXPECT_THAT(page, Not(HasSubstr("countersign_stats_series_capped_total")));
  EXPECT_LE(SeriesOf(page, "countersign_requests_total"), 2000u);
}

TEST(RequestCellsTest, AHandleThatWasFoldedIsNotTakenForALaterSeries) {
  Registry registry;
  std::vector<std::unique_ptr<RequestCells>> full;
  for (int i = 0; i < 2000; ++i) {
    full.push_back(std::make_unique<RequestCells>(registry, Pair(absl::StrCat("p", i))));
    full.back()->Record({.status = 200});
  }
  auto folded = std::make_unique<RequestCells>(registry, Pair("late"));
  folded->Record({.status = 200});
  full.resize(1000);
  RequestCells own(registry, Pair("late"));
  own.Record({.status = 200});
  folded.reset();
  registry.DropRetired(std::chrono::seconds(0));
  own.Record({.status = 200});
  EXPECT_THAT(registry.Serialize(), HasSubstr("destination_workload=\"late\""));
}

TEST(RequestCellsTest, MessagesAreCountedForCallsAlone) {
  Registry registry;
  {
    RequestCells cells(registry, Pair());
    cells.Record({.status = 200});
    EXPECT_EQ(SeriesOf(registry.Serialize(), "countersign_request_messages_total"), 0u);
    cells.AddMessages(1, 0);
    cells.AddMessages(2, 5);
    EXPECT_THAT(registry.Serialize(),
                HasSubstr(absl::StrCat("countersign_request_messages_total{", kPairText,
                                       ",request_protocol=\"grpc\"} 3\n")));
    EXPECT_THAT(registry.Serialize(),
                HasSubstr(absl::StrCat("countersign_response_messages_total{", kPairText,
                                       ",request_protocol=\"grpc\"} 5\n")));
  }
  registry.DropRetired(std::chrono::seconds(0));
  EXPECT_EQ(registry.Serialize(), "");
}

TEST(RequestCellsTest, WhatIsOnlyADurationOrEmptyIsRecordedToo) {
  Registry registry;
  RequestCells cells(registry, Pair());
  cells.Record({.flags = "DC", .duration = microseconds(-5)});
  EXPECT_THAT(registry.Serialize(), HasSubstr("response_code=\"0\",grpc_response_status=\"\","
                                              "response_flags=\"DC\"} 1\n"));
}

}  // namespace
}  // namespace countersign::stats
