#include "deploy/redirect/command.h"

#include <gtest/gtest.h>

namespace countersign::redirect {
namespace {

TEST(CommandTest, BringsOutputErrorsAndTheExitCode) {
  const absl::StatusOr<CommandResult> result =
      RunCommand({"sh", "-c", "cat; echo oops >&2; exit 3"}, "the input\n");
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_code, 3);
  EXPECT_EQ(result->output, "the input\n");
  EXPECT_EQ(result->error, "oops\n");
}

TEST(CommandTest, AnInputLargerThanAPipeDoesNotStall) {
  const std::string large(1 << 20, 'x');
  const absl::StatusOr<CommandResult> result = RunCommand({"cat"}, large);
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->output, large);
}

TEST(CommandTest, AMissingProgramIsNotFound) {
  EXPECT_EQ(RunCommand({"countersign-has-no-such-program"}, "").status().code(),
            absl::StatusCode::kNotFound);
}

TEST(CommandTest, ASignalIsAFailure) {
  const absl::StatusOr<CommandResult> result = RunCommand({"sh", "-c", "kill -KILL $$"}, "");
  ASSERT_TRUE(result.ok()) << result.status();
  EXPECT_EQ(result->exit_code, 128 + 9);
}

}  // namespace
}  // namespace countersign::redirect
