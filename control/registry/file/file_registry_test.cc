#include "control/registry/file/file_registry.h"

#include <fcntl.h>
#include <prometheus/registry.h>
#include <stdlib.h>
#include <unistd.h>

#include <condition_variable>
#include <filesystem>
#include <fstream>
#include <functional>
#include <mutex>
#include <string>

#include "absl/time/clock.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::control::registry {
namespace {

std::string Workload(const std::string& name, const std::string& address) {
  return "apiVersion: countersign.dev/v1alpha1\nkind: ExternalWorkload\nmetadata: {name: " + name +
         "}\nspec: {addresses: [\"" + address + "\"]}\n";
}

class FileRegistryTest : public ::testing::Test {
 protected:
  FileRegistryTest() {
    char path[] = "/tmp/file_registry_XXXXXX";
    path_ = mkdtemp(path);
  }
  ~FileRegistryTest() override {
    registry_.reset();
    std::filesystem::remove_all(path_);
  }

  void Start() {
    registry_ = std::make_unique<FileRegistry>(
        FileRegistry::Options{.directory = path_, .rescan = std::chrono::milliseconds(300)},
        metrics_);
    registry_->Subscribe([this](std::shared_ptr<const Model> model) {
      std::lock_guard<std::mutex> lock(mutex_);
      models_.push_back(std::move(model));
      changed_.notify_all();
    });
    ASSERT_TRUE(registry_->Start().ok());
  }
  void Write(const std::string& name, const std::string& text) {
    std::ofstream(path_ + "/" + name) << text;
  }
  bool Await(const char* workload, bool present = true) {
    std::unique_lock<std::mutex> lock(mutex_);
    return changed_.wait_for(lock, std::chrono::seconds(10), [&] {
      return !models_.empty() && (models_.back()->FindWorkload(workload) != nullptr) == present;
    });
  }

  std::string path_;
  prometheus::Registry metrics_;
  std::unique_ptr<FileRegistry> registry_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::vector<std::shared_ptr<const Model>> models_;
};

TEST_F(FileRegistryTest, WhatIsThereAtTheStartIsInForceWhenItReturns) {
  Write("web.yaml", Workload("web", "10.0.0.1"));
  Start();
  ASSERT_NE(registry_->Current(), nullptr);
  EXPECT_EQ(models_.size(), 1);
}

TEST_F(FileRegistryTest, NoticesWritesRenamesAndRemovals) {
  Start();
  Write("web.yaml", Workload("web", "10.0.0.1"));
  EXPECT_TRUE(Await("default/web"));
  std::ofstream(path_ + "/.tmp") << Workload("web-2", "10.0.0.1");
  std::filesystem::rename(path_ + "/.tmp", path_ + "/web.yaml");
  EXPECT_TRUE(Await("default/web-2"));
  std::filesystem::remove(path_ + "/web.yaml");
  EXPECT_TRUE(Await("default/web-2", false));
}

TEST_F(FileRegistryTest, AFileIsReadWhenItsWriterHasFinished) {
  Write("web.yaml", Workload("web", "10.0.0.1"));
  Start();
  // Truncated, and written in two strokes with a pause longer than the settling time: neither the
  // empty file nor the half one is ever in force.
  std::ofstream out(path_ + "/web.yaml", std::ios::trunc);
  out << Workload("web-a", "10.0.0.2") << std::flush;
  absl::SleepFor(absl::Milliseconds(150));
  out << "---\n" << Workload("web-b", "10.0.0.3") << std::flush;
  absl::SleepFor(absl::Milliseconds(150));
  out.close();
  EXPECT_TRUE(Await("default/web-b"));
  std::lock_guard<std::mutex> lock(mutex_);
  EXPECT_EQ(models_.size(), 2);
}

TEST_F(FileRegistryTest, ABurstOfChangesIsOneVersion) {
  Start();
  for (int i = 1; i <= 20; ++i) {
    Write("w" + std::to_string(i) + ".yaml",
          Workload("w" + std::to_string(i), "10.0.0." + std::to_string(i)));
  }
  EXPECT_TRUE(Await("default/w20"));
  EXPECT_LE(registry_->Current()->version(), 3);
}

TEST_F(FileRegistryTest, SeesWhatInotifyCannotSee) {
  char elsewhere[] = "/tmp/file_registry_target_XXXXXX";
  const std::string target = mkdtemp(elsewhere);
  std::ofstream(target + "/web.yaml") << Workload("web", "10.0.0.1");
  ASSERT_EQ(symlink((target + "/web.yaml").c_str(), (path_ + "/web.yaml").c_str()), 0);
  Start();
  std::ofstream(target + "/web.yaml") << Workload("web-2", "10.0.0.1");
  EXPECT_TRUE(Await("default/web-2"));
  std::filesystem::remove_all(target);
}

TEST_F(FileRegistryTest, AFolderThatIsReplacedIsWatchedAgain) {
  Write("web.yaml", Workload("web", "10.0.0.1"));
  Start();
  std::filesystem::rename(path_, path_ + ".old");
  std::filesystem::create_directory(path_);
  Write("db.yaml", Workload("db", "10.0.0.2"));
  EXPECT_TRUE(Await("default/db"));
  std::filesystem::remove_all(path_ + ".old");
}

TEST_F(FileRegistryTest, AMissingFolderIsAnErrorThatSaysWhatToDo) {
  FileRegistry registry({.directory = path_ + "/none"}, metrics_);
  EXPECT_THAT(std::string(registry.Start().message()), ::testing::HasSubstr("--config-dir"));
}

}  // namespace
}  // namespace countersign::control::registry
