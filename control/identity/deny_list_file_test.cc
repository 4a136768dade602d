#include "control/identity/deny_list_file.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "api/spiffe/testing/test_authority.h"
#include "api/spiffe/verifier.h"
#include "control/state/state_dir.h"

namespace countersign::control::identity {
namespace {

class DenyListFileTest : public ::testing::Test {
 protected:
  DenyListFileTest()
      : dir_(::testing::TempDir() + "deny_XXXXXX"),
        web_(*spiffe::SpiffeId::Parse("spiffe://cluster.local/ns/shop/sa/web")) {
    EXPECT_NE(mkdtemp(dir_.data()), nullptr);
  }
  ~DenyListFileTest() override { std::filesystem::remove_all(dir_); }

  std::string dir_;
  spiffe::SpiffeId web_;
};

TEST_F(DenyListFileTest, NothingIsDeniedWithoutAFile) {
  DenyListFile file(dir_);
  EXPECT_EQ(*file.Poll(), nullptr);
}

TEST_F(DenyListFileTest, AnIdIsDeniedUntilItIsRemoved) {
  DenyListFile server(dir_);
  DenyListFile operator_(dir_);
  ASSERT_TRUE(operator_.Add(web_).ok());
  auto list = *server.Poll();
  ASSERT_NE(list, nullptr);
  EXPECT_TRUE(list->Denies(web_, "", ""));
  EXPECT_EQ(*server.Poll(), nullptr) << "nothing has changed";
  ASSERT_TRUE(operator_.Remove(web_).ok());
  auto after = *server.Poll();
  ASSERT_NE(after, nullptr);
  EXPECT_FALSE(after->Denies(web_, "", ""));
  EXPECT_GT(after->epoch(), list->epoch());
  EXPECT_TRUE(absl::IsNotFound(operator_.Remove(web_)));
}

TEST_F(DenyListFileTest, OneCertificateIsDeniedAndAnotherOfTheSameIdIsNot) {
  spiffe::testing::TestAuthority root("cluster.local");
  const auto stolen = root.Issue(web_.ToString());
  const auto good = root.Issue(web_.ToString());
  DenyListFile file(dir_);
  ASSERT_TRUE(file.AddCertificate(stolen.chain_pem).ok());
  auto list = *file.Poll();
  spiffe::PeerSvid svid;
  EXPECT_EQ(Verify(stolen.certificate.get(), nullptr, *root.bundles(), *list, absl::Now(), &svid),
            spiffe::VerifyError::kDenied);
  EXPECT_EQ(Verify(good.certificate.get(), nullptr, *root.bundles(), *list, absl::Now(), &svid),
            spiffe::VerifyError::kNone);
}

TEST_F(DenyListFileTest, ABadLineIsReportedOnceAndNothingOfTheFileIsTaken) {
  DenyListFile file(dir_);
  ASSERT_TRUE(state::WriteAtomically(dir_ + "/deny-list",
                                     "id " + web_.ToString() + "\nid Spiffe://x\n", 0600)
                  .ok());
  const absl::Status status = file.Poll().status();
  EXPECT_TRUE(absl::IsInvalidArgument(status)) << status;
  EXPECT_NE(status.message().find(":2:"), absl::string_view::npos) << status;
  EXPECT_TRUE(file.Poll().ok());
}

TEST_F(DenyListFileTest, GarbageIsNoCertificate) {
  EXPECT_TRUE(absl::IsInvalidArgument(DenyListFile(dir_).AddCertificate("garbage")));
}

}  // namespace
}  // namespace countersign::control::identity
