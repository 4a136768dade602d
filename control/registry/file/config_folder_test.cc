#include "control/registry/file/config_folder.h"

#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::control::registry {
namespace {

using ::testing::HasSubstr;

class ConfigFolderTest : public ::testing::Test {
 protected:
  ConfigFolderTest() {
    char path[] = "/tmp/config_folder_XXXXXX";
    path_ = mkdtemp(path);
    folder_.emplace(path_, path_ + "/.state", ConfigFolder::Limits());
  }
  ~ConfigFolderTest() override { std::filesystem::remove_all(path_); }

  // Replaces the file as editors do, by renaming, so that its inode changes with its content.
  void Write(const std::string& name, const std::string& text) {
    const std::string temporary = path_ + "/.new";
    std::ofstream(temporary) << text;
    std::filesystem::rename(temporary, path_ + "/" + name);
  }
  bool Scan() { return folder_->Scan(absl::UnixEpoch()); }
  std::string FirstError() const {
    return folder_->errors().empty() ? "" : folder_->errors()[0].ToString();
  }
  bool Has(const char* workload) const {
    return folder_->model() != nullptr && folder_->model()->FindWorkload(workload) != nullptr;
  }

  std::string path_;
  std::optional<ConfigFolder> folder_;
};

std::string Workload(const std::string& name, const std::string& address) {
  return "apiVersion: countersign.dev/v1alpha1\nkind: ExternalWorkload\nmetadata: {name: " + name +
         "}\nspec: {addresses: [\"" + address + "\"]}\n";
}

TEST_F(ConfigFolderTest, ARunningMeshKeepsItsTrustDomain) {
  const std::string mesh =
      "apiVersion: countersign.dev/v1alpha1\nkind: Mesh\nmetadata: {name: m}\nspec: ";
  Write("mesh.yaml", mesh + "{trustDomain: a.example}\n");
  ASSERT_TRUE(Scan());
  Write("mesh.yaml", mesh + "{trustDomain: b.example}\n");
  EXPECT_FALSE(Scan());
  EXPECT_THAT(FirstError(), HasSubstr("mesh.yaml:1:1: Mesh/countersign-system/m: "
                                      "spec.trustDomain: cannot change from a.example"));
  std::filesystem::remove(path_ + "/mesh.yaml");
  EXPECT_FALSE(Scan());
  EXPECT_THAT(FirstError(), HasSubstr("cannot change from a.example to cluster.local"));
  EXPECT_FALSE(Scan());
  EXPECT_FALSE(folder_->errors().empty());
  EXPECT_EQ(folder_->model()->mesh().trust_domain, "a.example");
  Write("mesh.yaml", mesh + "{trustDomain: a.example}\n");
  EXPECT_TRUE(Scan());
  EXPECT_EQ(FirstError(), "");
}

TEST_F(ConfigFolderTest, AnEmptyFolderIsAValidConfiguration) {
  EXPECT_TRUE(Scan());
  EXPECT_EQ(folder_->model()->version(), 1);
  EXPECT_FALSE(Scan());
}

TEST_F(ConfigFolderTest, ABadFileLeavesItsLastGoodContentInForce) {
  Write("web.yaml", Workload("web", "10.0.0.1"));
  Write("db.yaml", Workload("db", "10.0.0.2"));
  ASSERT_TRUE(Scan());
  Write("web.yaml", "kind: [");
  EXPECT_FALSE(Scan());
  EXPECT_TRUE(folder_->changed());
  EXPECT_THAT(FirstError(), HasSubstr("web.yaml:"));
  EXPECT_TRUE(Has("default/web"));
  // Others go on changing meanwhile.
  Write("db.yaml", Workload("db-2", "10.0.0.2"));
  EXPECT_TRUE(Scan());
  EXPECT_TRUE(Has("default/web"));
  EXPECT_TRUE(Has("default/db-2"));
  EXPECT_FALSE(Has("default/db"));
  EXPECT_FALSE(FirstError().empty());
  Write("web.yaml", Workload("web-2", "10.0.0.1"));
  EXPECT_TRUE(Scan());
  EXPECT_TRUE(Has("default/web-2"));
  EXPECT_EQ(FirstError(), "");
}

TEST_F(ConfigFolderTest, ABadFileFromTheStartMeansNoConfigurationAtAll) {
  Write("db.yaml", Workload("db", "10.0.0.2"));
  Write("strict.yaml",
        "apiVersion: countersign.dev/v1alpha1\nkind: PeerAuthentication\n"
        "metadata: {name: strict}\nspec: {mtls: {mode: STRCIT}}\n");
  EXPECT_FALSE(Scan());
  EXPECT_EQ(folder_->model(), nullptr);
  std::filesystem::remove(path_ + "/strict.yaml");
  EXPECT_TRUE(Scan());
  EXPECT_TRUE(Has("default/db"));
}

TEST_F(ConfigFolderTest, TheNewcomerIsBlamedForAContradiction) {
  Write("z.yaml", Workload("web", "10.0.0.1"));
  ASSERT_TRUE(Scan());
  Write("a.yaml", Workload("thief", "10.0.0.1"));
  EXPECT_FALSE(Scan());
  EXPECT_THAT(FirstError(), HasSubstr("a.yaml:1:1: ExternalWorkload/default/thief"));
  EXPECT_TRUE(Has("default/web"));
  EXPECT_FALSE(Has("default/thief"));
  std::filesystem::remove(path_ + "/z.yaml");
  Write("a.yaml", Workload("heir", "10.0.0.1"));
  EXPECT_TRUE(Scan());
  EXPECT_TRUE(Has("default/heir"));
}

TEST_F(ConfigFolderTest, AContradictionThatIsResolvedElsewhereIsForgiven) {
  Write("z.yaml", Workload("web", "10.0.0.1"));
  ASSERT_TRUE(Scan());
  Write("a.yaml", Workload("thief", "10.0.0.1"));
  ASSERT_FALSE(Scan());
  Write("z.yaml", Workload("web", "10.0.0.2"));
  EXPECT_TRUE(Scan());
  EXPECT_EQ(FirstError(), "");
  EXPECT_TRUE(Has("default/thief"));
}

TEST_F(ConfigFolderTest, ARestartWhileAFileIsBadGoesOnWithWhatWasInForce) {
  Write("web.yaml", Workload("web", "10.0.0.1"));
  Write("db.yaml", Workload("db", "10.0.0.2"));
  Write("gone.yaml", Workload("gone", "10.0.0.3"));
  ASSERT_TRUE(Scan());
  Write("web.yaml", "kind: [");
  std::filesystem::remove(path_ + "/gone.yaml");
  folder_.emplace(path_, path_ + "/.state", ConfigFolder::Limits());
  EXPECT_TRUE(Scan());
  EXPECT_THAT(FirstError(), HasSubstr("web.yaml:"));
  EXPECT_TRUE(Has("default/web"));
  EXPECT_TRUE(Has("default/db"));
  EXPECT_FALSE(Has("default/gone"));
  struct stat st;
  ASSERT_EQ(stat((path_ + "/.state/web.yaml").c_str(), &st), 0);
  EXPECT_EQ(st.st_mode & 0777, 0600);
  // A contradiction at the start is no different.
  Write("web.yaml", Workload("web", "10.0.0.2"));
  folder_.emplace(path_, path_ + "/.state", ConfigFolder::Limits());
  EXPECT_TRUE(Scan());
  EXPECT_EQ(folder_->model()->FindWorkload("default/web")->addresses[0].ToString(), "10.0.0.1");
  // Nor is a newcomer that was bad all along.
  Write("a-thief.yaml", Workload("thief", "10.0.0.2"));
  folder_.emplace(path_, path_ + "/.state", ConfigFolder::Limits());
  EXPECT_TRUE(Scan());
  EXPECT_TRUE(Has("default/db"));
  EXPECT_FALSE(Has("default/thief"));
}

constexpr char kFarRoute[] =
    "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r}\nspec:\n"
    "  parentRefs: [{kind: Service, name: web}]\n"
    "  rules: [{backendRefs: [{name: db, namespace: far, port: 80}]}]\n";
constexpr char kGrant[] =
    "apiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\n"
    "metadata: {name: g, namespace: far}\nspec:\n"
    "  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: default}]\n"
    "  to: [{group: '', kind: Service}]\n";

TEST_F(ConfigFolderTest, ARouteWithoutItsGrantIsRefusedUntilTheGrantIsThere) {
  Write("web.yaml", Workload("web", "10.0.0.1"));
  ASSERT_TRUE(Scan());
  Write("route.yaml", kFarRoute);
  EXPECT_FALSE(Scan());
  EXPECT_THAT(FirstError(), HasSubstr("route.yaml:1:1: HTTPRoute/default/r: "
                                      "spec.rules[0].backendRefs[0].namespace: Service/far/db"));
  EXPECT_FALSE(folder_->errors()[0].in_force);
  Write("grant.yaml", kGrant);
  EXPECT_TRUE(Scan());
  EXPECT_EQ(FirstError(), "");
}

TEST_F(ConfigFolderTest, AGrantCanBeWithdrawnAndIsNotMissedByARestart) {
  Write("grant.yaml", kGrant);
  Write("route.yaml", kFarRoute);
  ASSERT_TRUE(Scan());
  ASSERT_EQ(FirstError(), "");
  std::filesystem::remove(path_ + "/grant.yaml");
  EXPECT_TRUE(Scan());
  const auto withdrawn = [&] {
    ASSERT_EQ(folder_->errors().size(), 1);
    EXPECT_TRUE(folder_->errors()[0].in_force);
    EXPECT_THAT(FirstError(), HasSubstr("until then 500 is answered"));
    EXPECT_EQ(folder_->model()->ungranted().size(), 1);
  };
  withdrawn();
  // The rest of the mesh goes on changing.
  Write("web.yaml", Workload("web", "10.0.0.1"));
  EXPECT_TRUE(Scan());
  EXPECT_TRUE(Has("default/web"));
  withdrawn();
  folder_.emplace(path_, path_ + "/.state", ConfigFolder::Limits());
  EXPECT_TRUE(Scan());
  withdrawn();
  Write("grant.yaml", kGrant);
  EXPECT_TRUE(Scan());
  EXPECT_EQ(FirstError(), "");
}

TEST_F(ConfigFolderTest, ManyFilesAreReadAtOnceAndErrorsStayWithTheirs) {
  for (int i = 0; i < 40; ++i) {
    const std::string name = absl::StrCat("w", i);
    Write(name + ".yaml", i % 10 == 3 ? "kind: [" : Workload(name, absl::StrCat("10.0.0.", i + 1)));
  }
  EXPECT_FALSE(Scan());
  ASSERT_EQ(folder_->errors().size(), 4);
  for (int i = 0; i < 4; ++i) {
    const std::string name = absl::StrCat("w", std::vector<int>{13, 23, 3, 33}[i]);
    EXPECT_THAT(folder_->errors()[i].ToString(), HasSubstr("/" + name + ".yaml:"));
    Write(name + ".yaml", Workload(name, absl::StrCat("10.0.1.", i)));
  }
  EXPECT_TRUE(Scan());
  EXPECT_EQ(folder_->model()->workloads().size(), 40);
}

TEST_F(ConfigFolderTest, AddressesMayMoveBetweenFilesInOneStep) {
  Write("a.yaml", Workload("a", "10.0.0.1"));
  Write("b.yaml", Workload("b", "10.0.0.2"));
  ASSERT_TRUE(Scan());
  Write("a.yaml", Workload("a", "10.0.0.2"));
  Write("b.yaml", Workload("b", "10.0.0.1"));
  EXPECT_TRUE(Scan());
  EXPECT_EQ(FirstError(), "");
}

TEST_F(ConfigFolderTest, ARemovedFileTakesItsResourcesAlong) {
  Write("web.yaml", Workload("web", "10.0.0.1"));
  ASSERT_TRUE(Scan());
  std::filesystem::remove(path_ + "/web.yaml");
  EXPECT_TRUE(Scan());
  EXPECT_FALSE(Has("default/web"));
}

TEST_F(ConfigFolderTest, AFolderThatIsAwayChangesNothing) {
  Write("web.yaml", Workload("web", "10.0.0.1"));
  ASSERT_TRUE(Scan());
  std::filesystem::rename(path_, path_ + ".away");
  EXPECT_FALSE(Scan());
  EXPECT_THAT(FirstError(), HasSubstr("cannot be read"));
  EXPECT_TRUE(Has("default/web"));
  std::filesystem::rename(path_ + ".away", path_);
  Scan();
  EXPECT_EQ(FirstError(), "");
  EXPECT_TRUE(Has("default/web"));
}

TEST_F(ConfigFolderTest, OnlyYamlIsRead) {
  EXPECT_TRUE(ConfigFolder::IsConfigFile("web.yaml"));
  EXPECT_TRUE(ConfigFolder::IsConfigFile("web.yml"));
  for (const char* name : {".web.yaml.swp", ".#web.yaml", "web.yaml~", "README.md", "", ".yaml",
                           "web.yaml.bak", "4913"}) {
    EXPECT_FALSE(ConfigFolder::IsConfigFile(name)) << name;
  }
}

TEST_F(ConfigFolderTest, WhatIsNoFileDoesNotHoldItUp) {
  ASSERT_EQ(mkfifo((path_ + "/pipe.yaml").c_str(), 0600), 0);
  std::filesystem::create_directory(path_ + "/dir.yaml");
  ASSERT_EQ(symlink("/nonexistent", (path_ + "/link.yaml").c_str()), 0);
  EXPECT_FALSE(Scan());
  EXPECT_EQ(folder_->errors().size(), 3);
}

TEST_F(ConfigFolderTest, SymbolicLinksAreFollowedAsConfigMapsNeed) {
  std::filesystem::create_directory(path_ + "/..2024");
  std::ofstream(path_ + "/..2024/web.yaml") << Workload("web", "10.0.0.1");
  ASSERT_EQ(symlink("..2024", (path_ + "/..data").c_str()), 0);
  ASSERT_EQ(symlink("..data/web.yaml", (path_ + "/web.yaml").c_str()), 0);
  EXPECT_TRUE(Scan());
  EXPECT_TRUE(Has("default/web"));
  std::filesystem::create_directory(path_ + "/..2025");
  std::ofstream(path_ + "/..2025/web.yaml") << Workload("web-2", "10.0.0.1");
  ASSERT_EQ(symlink("..2025", (path_ + "/..data_tmp").c_str()), 0);
  std::filesystem::rename(path_ + "/..data_tmp", path_ + "/..data");
  EXPECT_TRUE(Scan());
  EXPECT_TRUE(Has("default/web-2"));
}

TEST_F(ConfigFolderTest, AHugeFileIsRefusedUnread) {
  Write("ok.yaml", Workload("web", "10.0.0.1"));
  ASSERT_TRUE(Scan());
  std::ofstream(path_ + "/huge.yaml").close();
  ASSERT_EQ(truncate((path_ + "/huge.yaml").c_str(), off_t{1} << 40), 0);
  EXPECT_FALSE(Scan());
  EXPECT_THAT(FirstError(), HasSubstr("split it"));
  EXPECT_TRUE(Has("default/web"));
}

TEST_F(ConfigFolderTest, TooManyFilesAreRefusedTogether) {
  folder_.emplace(path_, "", ConfigFolder::Limits{.yaml = {}, .max_files = 3});
  for (int i = 0; i < 4; ++i) {
    Write(absl::StrCat("w", i, ".yaml"),
          Workload(absl::StrCat("w", i), absl::StrCat("10.0.0.", i + 1)));
  }
  EXPECT_FALSE(Scan());
  EXPECT_THAT(FirstError(), HasSubstr("holds 4 files; at most 3 are read"));
}

}  // namespace
}  // namespace countersign::control::registry
