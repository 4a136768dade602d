#include "proxy/main/log_setup.h"

#include <spdlog/spdlog.h>

#include <nlohmann/json.hpp>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::main {
namespace {

using ::testing::HasSubstr;

TEST(LogSetupTest, JsonLinesAreJsonWhateverTheyCarry) {
  SetUpLogging("info", /*json=*/true);
  ::testing::internal::CaptureStderr();
  spdlog::warn("{}", "a \"quoted\"\nline with a \\ and \x01");
  spdlog::debug("not this");
  const std::string output = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(output.find('\n'), output.size() - 1);
  const nlohmann::json line = nlohmann::json::parse(output);
  EXPECT_EQ(line["level"], "warning");
  EXPECT_EQ(line["message"], "a \"quoted\"\nline with a \\ and \x01");
  EXPECT_THAT(line["time"].get<std::string>(), testing::EndsWith("Z"));
}

TEST(LogSetupTest, TextLinesBeginWithTimeAndLevel) {
  SetUpLogging("debug", /*json=*/false);
  ::testing::internal::CaptureStderr();
  spdlog::debug("hello");
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), HasSubstr("Z debug   hello\n"));
}

}  // namespace
}  // namespace countersign::main
