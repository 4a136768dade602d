#include "control/state/state_dir.h"

#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

namespace countersign::control::state {
namespace {

class StateDirTest : public ::testing::Test {
 protected:
  StateDirTest() : root_(::testing::TempDir() + "state_XXXXXX") {
    EXPECT_NE(mkdtemp(root_.data()), nullptr);
  }
  ~StateDirTest() override { std::filesystem::remove_all(root_); }

  static unsigned ModeOf(const std::string& path) {
    struct stat info = {};
    EXPECT_EQ(stat(path.c_str(), &info), 0);
    return info.st_mode & 07777;
  }

  std::string root_;
};

TEST_F(StateDirTest, AWrittenFileIsPrivateAndReadBack) {
  ASSERT_TRUE(WriteAtomically(root_ + "/key", "secret", 0600).ok());
  EXPECT_EQ(ModeOf(root_ + "/key"), 0600u);
  EXPECT_EQ(*ReadPrivateFile(root_ + "/key"), "secret");
}

TEST_F(StateDirTest, WritingReplacesTheWholeFileAndLeavesNoTemporary) {
  ASSERT_TRUE(WriteAtomically(root_ + "/key", "a longer first content", 0600).ok());
  ASSERT_TRUE(WriteAtomically(root_ + "/key", "short", 0600).ok());
  EXPECT_EQ(*ReadPrivateFile(root_ + "/key"), "short");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(root_), {}), 1);
}

TEST_F(StateDirTest, AMissingFileIsNotFound) {
  EXPECT_TRUE(absl::IsNotFound(ReadPrivateFile(root_ + "/none").status()));
}

TEST_F(StateDirTest, AFileThatOthersMayReadIsRefused) {
  ASSERT_TRUE(WriteAtomically(root_ + "/key", "secret", 0640).ok());
  const absl::Status status = ReadPrivateFile(root_ + "/key").status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_NE(status.message().find("0640"), absl::string_view::npos) << status;
}

TEST_F(StateDirTest, ALinkIsNotFollowed) {
  ASSERT_TRUE(WriteAtomically(root_ + "/key", "secret", 0600).ok());
  std::filesystem::create_symlink(root_ + "/key", root_ + "/link");
  EXPECT_FALSE(ReadPrivateFile(root_ + "/link").ok());
}

TEST_F(StateDirTest, AFolderThatOthersMayEnterIsNoPrivateOne) {
  ASSERT_TRUE(OpenPrivateDir(root_ + "/ca").ok());
  EXPECT_EQ(ModeOf(root_ + "/ca"), 0700u);
  ASSERT_TRUE(OpenPrivateDir(root_ + "/ca").ok());
  ASSERT_EQ(chmod((root_ + "/ca").c_str(), 0750), 0);
  EXPECT_TRUE(absl::IsFailedPrecondition(OpenPrivateDir(root_ + "/ca")));
}

TEST_F(StateDirTest, AStateFolderThatOthersMayWriteIsRefused) {
  ASSERT_TRUE(OpenStateDir(root_ + "/state").ok());
  ASSERT_EQ(chmod((root_ + "/state").c_str(), 0775), 0);
  EXPECT_TRUE(absl::IsFailedPrecondition(OpenStateDir(root_ + "/state")));
}

TEST_F(StateDirTest, ASecondHolderIsRefused) {
  ASSERT_TRUE(LockStateDir(root_).ok());
  EXPECT_TRUE(absl::IsFailedPrecondition(LockStateDir(root_)));
}

}  // namespace
}  // namespace countersign::control::state
