#include "proxy/access_log/access_log.h"

#include <unistd.h>

#include <cstdlib>
#include <fstream>
#include <iterator>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::access_log {
namespace {

using ::testing::HasSubstr;

std::string ReadFile(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(AccessLogTest, ReferenceIsWhatTheTableSays) {
  EXPECT_EQ(ReadFile("proxy/access_log/FIELDS.md"), AccessLog::RenderReference())
      << "bazel run //proxy/access_log:fields_reference > proxy/access_log/FIELDS.md";
}

TEST(AccessLogTest, ALineIsOneJsonObjectWhateverAPeerIsCalled) {
  const std::string line = AccessLog::Format({.start = absl::UnixEpoch(),
                                              .duration = absl::Milliseconds(1500),
                                              .inbound = true,
                                              .downstream = "10.0.0.1:5",
                                              .destination = {},
                                              .upstream = {},
                                              .security = "mutual_tls",
                                              .peer_id = "spiffe://a/\"b\\\n\xFF",
                                              .peer_serial = {},
                                              .bytes_sent = 7,
                                              .bytes_received = 9});
  EXPECT_EQ(line.find('\n'), line.size() - 1);
  const nlohmann::json parsed = nlohmann::json::parse(line);
  EXPECT_EQ(parsed["start_time"], "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(parsed["duration_ms"], 1500);
  EXPECT_EQ(parsed["direction"], "inbound");
  EXPECT_EQ(parsed["bytes_received"], 9);
  EXPECT_THAT(parsed["peer_principal"].get<std::string>(), HasSubstr("\"b\\\n"));
}

TEST(AccessLogTest, ThreadsDoNotMixTheirLines) {
  const std::string path = absl::StrCat(std::getenv("TEST_TMPDIR"), "/access.log");
  absl::StatusOr<AccessLog> log = AccessLog::Open(path);
  ASSERT_TRUE(log.ok()) << log.status();
  std::vector<std::thread> threads;
  for (int i = 0; i < 4; ++i) {
    threads.emplace_back([&] {
      for (int n = 0; n < 200; ++n) {
        Record record;
        record.start = absl::Now();
        log->Write(record);
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  std::ifstream file(path);
  int lines = 0;
  for (std::string line; std::getline(file, line); ++lines) {
    EXPECT_TRUE(nlohmann::json::accept(line)) << line;
  }
  EXPECT_EQ(lines, 800);
}

TEST(AccessLogTest, AFileThatCannotBeOpenedIsNamed) {
  EXPECT_THAT(std::string(AccessLog::Open("/nonexistent/x").status().message()),
              HasSubstr("/nonexistent/x: No such file"));
}

}  // namespace
}  // namespace countersign::access_log
