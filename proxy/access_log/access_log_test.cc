#include "proxy/access_log/access_log.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <iterator>
#include <new>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace {

thread_local uint64_t allocations = 0;

}  // namespace

// Counts what the thread under test allocates.
void* operator new(size_t size) {
  ++allocations;
  void* memory = std::malloc(size);
  if (memory == nullptr) std::abort();
  return memory;
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, size_t) noexcept { std::free(memory); }

namespace countersign::access_log {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

size_t Lines(const std::string& text) {
  return static_cast<size_t>(std::count(text.begin(), text.end(), '\n'));
}

class AccessLogTest : public ::testing::Test {
 protected:
  AccessLogTest()
      : path_(absl::StrCat(std::getenv("TEST_TMPDIR"), "/",
                           ::testing::UnitTest::GetInstance()->current_test_info()->name(),
                           ".log")) {}

  std::unique_ptr<AccessLog> Open(double sample = 1) {
    absl::StatusOr<std::unique_ptr<AccessLog>> log =
        AccessLog::Open({.path = path_, .format = {}, .sample = sample}, stats_);
    EXPECT_TRUE(log.ok()) << log.status();
    return *std::move(log);
  }

  int Lost() const {
    const std::string page = stats_.Serialize();
    const std::string needle = "dropped_total{reason=\"full\"} ";
    const size_t at = page.find(needle);
    return at == std::string::npos ? 0 : std::atoi(page.c_str() + at + needle.size());
  }

  static Record Request(uint16_t status = 200) {
    Record record;
    record.start = absl::FromUnixSeconds(1'700'000'000);
    record.http = true;
    record.method = "GET";
    record.path = "/";
    record.status = status;
    record.flags = "-";
    return record;
  }

  const std::string path_;
  stats::Registry stats_;
};

TEST_F(AccessLogTest, ThreadsDoNotMixTheirLines) {
  std::unique_ptr<AccessLog> log = Open();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&, i] {
      const std::string path = "/" + std::string(static_cast<size_t>(i) * 100, 'x');
      for (int n = 0; n < 2000; ++n) {
        Record record = Request();
        record.path = path;
        log->Write(record);
        if (n % 50 == 0) log->Flush();  // so that none is lost, however late the writer runs
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  log->Flush();
  std::ifstream file(path_);
  int lines = 0;
  for (std::string line; std::getline(file, line); ++lines) {
    EXPECT_TRUE(nlohmann::json::accept(line)) << line;
  }
  EXPECT_EQ(lines, 8000);
}

TEST_F(AccessLogTest, TheEndWritesWhatIsLeft) {
  std::unique_ptr<AccessLog> log = Open();
  for (int i = 0; i < 100; ++i) {
    log->Write(Request());
  }
  log.reset();
  EXPECT_EQ(Lines(ReadFile(path_)), 100u);
}

TEST_F(AccessLogTest, LinesArriveByThemselves) {
  std::unique_ptr<AccessLog> log = Open();
  for (size_t round = 1; round <= 3; ++round) {
    log->Write(Request());
    for (int i = 0; i < 1500 && Lines(ReadFile(path_)) < round; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(20));
    }
    EXPECT_EQ(Lines(ReadFile(path_)), round);
  }
}

TEST_F(AccessLogTest, ALineCostsNoAllocationOnceTheFirstAreWritten) {
  std::unique_ptr<AccessLog> log = Open();
  const std::string path(1000, 'x');
  Record record = Request();
  record.path = path;
  for (int i = 0; i < 3; ++i) log->Write(record);
  log->Flush();
  const uint64_t before = allocations;
  for (int i = 0; i < 50; ++i) log->Write(record);
  EXPECT_EQ(allocations, before);
  log->Flush();
  EXPECT_EQ(Lines(ReadFile(path_)), 53u);
}

TEST_F(AccessLogTest, SamplingKeepsItsShareAndEveryFailure) {
  std::unique_ptr<AccessLog> log = Open(0.1);
  for (int i = 0; i < 200; ++i) {
    for (int n = 0; n < 20; ++n) log->Write(Request());
    log->Write(Request(503));
    Record refused = Request(200);
    refused.flags = "DC";
    log->Write(refused);
    Record connection;
    connection.reason = "plaintext";
    log->Write(connection);
    if (i % 20 == 0) log->Flush();
  }
  log->Flush();
  size_t good = 0;
  size_t failed = 0;
  std::ifstream file(path_);
  for (std::string line; std::getline(file, line);) {
    const nlohmann::json parsed = nlohmann::json::parse(line);
    const bool fine = parsed.value("status", 0) == 200 && parsed["response_flags"] == "-";
    ++(fine ? good : failed);
  }
  EXPECT_EQ(failed, 600u);
  EXPECT_NEAR(static_cast<double>(good), 400, 100);
}

TEST_F(AccessLogTest, AReaderThatStandsStillCostsLinesAndNeverTime) {
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  const int reader = open(path_.c_str(), O_RDONLY | O_NONBLOCK);
  std::unique_ptr<AccessLog> log = Open();
  constexpr int kLines = 10'000;
  // Nobody reads: if a line waited, this would not end.
  for (int i = 0; i < kLines; ++i) log->Write(Request());
  // Whoever reads again gets whole lines, and the rest is accounted for.
  std::string got;
  const auto read_all = [&] {
    char part[65536];
    for (ssize_t n = 0; (n = read(reader, part, sizeof part)) > 0;) got.append(part, n);
  };
  for (int i = 0; i < 1500 && static_cast<int>(Lines(got)) + Lost() < kLines; ++i) {
    read_all();
    std::this_thread::sleep_for(std::chrono::milliseconds(20));
  }
  log.reset();
  read_all();
  close(reader);
  EXPECT_GT(Lost(), 0);
  EXPECT_EQ(static_cast<int>(Lines(got)) + Lost(), kLines);
  EXPECT_EQ(got.back(), '\n');
}

TEST_F(AccessLogTest, TheEndDoesNotWaitForAReaderThatStandsStill) {
  ASSERT_EQ(mkfifo(path_.c_str(), 0600), 0);
  const int reader = open(path_.c_str(), O_RDONLY | O_NONBLOCK);
  std::unique_ptr<AccessLog> log = Open();
  for (int i = 0; i < 3'000; ++i) log->Write(Request());
  log.reset();  // nobody reads: if it waited for that, this would not end
  EXPECT_THAT(stats_.Serialize(), Not(HasSubstr("{reason=\"write_failed\"} 0")));
  close(reader);
}

TEST_F(AccessLogTest, AFileThatWasMovedAwayIsReopenedOnDemand) {
  std::unique_ptr<AccessLog> log = Open();
  log->Write(Request(201));
  log->Flush();
  ASSERT_EQ(std::rename(path_.c_str(), (path_ + ".1").c_str()), 0);
  log->Write(Request(202));
  log->Flush();
  ASSERT_TRUE(log->Reopen().ok());
  log->Write(Request(203));
  log->Flush();
  EXPECT_EQ(Lines(ReadFile(path_ + ".1")), 2u);
  EXPECT_THAT(ReadFile(path_), HasSubstr("\"status\":203"));
}

TEST_F(AccessLogTest, AFileThatCannotBeOpenedIsNamed) {
  const absl::Status status =
      AccessLog::Open({.path = "/nonexistent/x", .format = {}}, stats_).status();
  EXPECT_THAT(std::string(status.message()), HasSubstr("/nonexistent/x: No such file"));
}

TEST_F(AccessLogTest, AFullDiskIsCounted) {
  absl::StatusOr<std::unique_ptr<AccessLog>> log =
      AccessLog::Open({.path = "/dev/full", .format = {}}, stats_);
  ASSERT_TRUE(log.ok());
  (*log)->Write(Request());
  (*log)->Write(Request());
  log->reset();
  EXPECT_THAT(stats_.Serialize(), HasSubstr("{reason=\"write_failed\"} 2\n"));
}

}  // namespace
}  // namespace countersign::access_log
