#include "control/attest/join_token_store.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <fstream>
#include <set>
#include <thread>
#include <vector>

namespace countersign::control::attest {
namespace {

class JoinTokenStoreTest : public ::testing::Test {
 protected:
  JoinTokenStoreTest()
      : dir_(::testing::TempDir() + "tokens_XXXXXX"),
        now_(absl::Now()),
        web_(*spiffe::SpiffeId::Parse("spiffe://cluster.local/ns/shop/sa/web")) {
    EXPECT_NE(mkdtemp(dir_.data()), nullptr);
    store_ = *JoinTokenStore::Open(dir_);
  }
  ~JoinTokenStoreTest() override { std::filesystem::remove_all(dir_); }

  std::string NewToken(absl::Duration ttl = absl::Minutes(10)) {
    return *store_->Create(web_, now_ + ttl);
  }

  // As the server does it.
  absl::Status Use(const std::string& token, absl::Time now) { return Use(token, now, *store_); }
  absl::Status Use(const std::string& token, absl::Time now, JoinTokenStore& store) {
    absl::StatusOr<JoinTokenStore::Unused> unused = store.Look(token, now);
    if (!unused.ok()) return unused.status();
    return store.Consume(std::span(&unused->name, 1))[0];
  }

  std::string dir_;
  absl::Time now_;
  spiffe::SpiffeId web_;
  std::unique_ptr<JoinTokenStore> store_;
};

TEST_F(JoinTokenStoreTest, ATokenIsGoodForItsIdentityOnce) {
  const std::string token = NewToken();
  EXPECT_EQ(store_->Look(token, now_)->id.ToString(), web_.ToString());
  EXPECT_TRUE(store_->Look(token, now_).ok()) << "looking uses nothing up";
  EXPECT_TRUE(Use(token, now_).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(Use(token, now_)));
  EXPECT_TRUE(absl::IsAlreadyExists(store_->Look(token, now_).status()));
}

TEST_F(JoinTokenStoreTest, AnUnknownTokenIsRefused) {
  EXPECT_TRUE(absl::IsNotFound(store_->Look("guess", now_).status()));
  EXPECT_TRUE(absl::IsNotFound(store_->Look("../../etc/passwd", now_).status()));
  EXPECT_TRUE(absl::IsNotFound(store_->Look(std::string("a\0b", 3), now_).status()));
  EXPECT_TRUE(absl::IsNotFound(Use("", now_)));
}

TEST_F(JoinTokenStoreTest, AnExpiredTokenIsRefused) {
  const std::string token = NewToken();
  now_ += absl::Minutes(11);
  EXPECT_TRUE(absl::IsDeadlineExceeded(store_->Look(token, now_).status()));
  EXPECT_TRUE(absl::IsDeadlineExceeded(Use(token, now_)));
}

TEST_F(JoinTokenStoreTest, TheFolderTellsNoToken) {
  const std::string token = NewToken();
  for (const auto& entry : std::filesystem::recursive_directory_iterator(dir_)) {
    EXPECT_EQ(entry.path().string().find(token), std::string::npos);
    if (!entry.is_regular_file()) continue;
    std::ifstream file(entry.path());
    const std::string content((std::istreambuf_iterator<char>(file)), {});
    EXPECT_EQ(content.find(token), std::string::npos);
    struct stat info = {};
    ASSERT_EQ(stat(entry.path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777, 0600u);
  }
}

TEST_F(JoinTokenStoreTest, TokensAreLongAndDiffer) {
  std::set<std::string> tokens;
  for (int i = 0; i < 50; ++i) tokens.insert(NewToken());
  EXPECT_EQ(tokens.size(), 50u);
  EXPECT_GE(tokens.begin()->size(), 43u);
}

TEST_F(JoinTokenStoreTest, OfManyThatUseATokenAtOnceOneSucceeds) {
  for (int round = 0; round < 20; ++round) {
    const std::string token = NewToken();
    std::atomic<int> successes{0};
    std::atomic<int> already_used{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 8; ++i) {
      threads.emplace_back([&] {
        const absl::Status status = Use(token, now_);
        if (status.ok()) ++successes;
        if (absl::IsAlreadyExists(status)) ++already_used;
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(successes, 1);
    EXPECT_EQ(already_used, 7);
  }
}

TEST_F(JoinTokenStoreTest, ABatchUsesUpEachOfItsTokensOnce) {
  std::vector<std::string> tokens;
  std::vector<std::string> names;
  for (int i = 0; i < 64; ++i) {
    tokens.push_back(NewToken());
    names.push_back(store_->Look(tokens.back(), now_)->name);
  }
  names.push_back(names[10]);  // twice in one batch
  ASSERT_TRUE(Use(tokens[20], now_).ok()) << "somebody else is faster";
  const std::vector<absl::Status> statuses = store_->Consume(names);
  ASSERT_EQ(statuses.size(), names.size());
  for (size_t i = 0; i < statuses.size(); ++i) {
    const bool second = i == 20 || i == 64;
    EXPECT_EQ(statuses[i].code(), second ? absl::StatusCode::kAlreadyExists : absl::StatusCode::kOk)
        << i;
  }
  for (const std::string& token : tokens) {
    EXPECT_TRUE(absl::IsAlreadyExists(store_->Look(token, now_).status()));
  }
  EXPECT_TRUE(store_->Consume({}).empty());
}

TEST_F(JoinTokenStoreTest, OfManyBatchesWithTheSameTokensEachTokenIsInOne) {
  for (int round = 0; round < 10; ++round) {
    std::vector<std::string> names;
    for (int i = 0; i < 30; ++i) names.push_back(store_->Look(NewToken(), now_)->name);
    std::atomic<int> successes{0};
    std::vector<std::thread> threads;
    for (int i = 0; i < 4; ++i) {
      threads.emplace_back([&, i] {
        std::vector<std::string> mine = names;
        if (i % 2 != 0) std::reverse(mine.begin(), mine.end());
        for (const absl::Status& status : store_->Consume(mine)) {
          if (status.ok()) ++successes;
          EXPECT_TRUE(status.ok() || absl::IsAlreadyExists(status)) << status;
        }
      });
    }
    for (std::thread& thread : threads) thread.join();
    EXPECT_EQ(successes, 30);
  }
}

TEST_F(JoinTokenStoreTest, ABatchThatTheDiskRefusesGivesNothing) {
  const std::string name = store_->Look(NewToken(), now_)->name;
  std::filesystem::remove_all(dir_ + "/tokens/used");
  std::ofstream(dir_ + "/tokens/used") << "not a folder";
  EXPECT_TRUE(absl::IsInternal(store_->Consume(std::span(&name, 1))[0]));
}

TEST_F(JoinTokenStoreTest, AnotherProcessesTokensAreSeenAtOnce) {
  auto other = *JoinTokenStore::Open(dir_);
  const std::string token = *other->Create(web_, now_ + absl::Minutes(1));
  EXPECT_TRUE(Use(token, now_).ok());
  EXPECT_TRUE(absl::IsAlreadyExists(Use(token, now_, *other)));
}

TEST_F(JoinTokenStoreTest, PurgingKeepsWhatIsStillOfUse) {
  const std::string unused = NewToken(absl::Hours(1));
  const std::string stale = NewToken(absl::Minutes(1));
  const std::string used = NewToken(absl::Minutes(1));
  ASSERT_TRUE(Use(used, now_).ok());
  now_ += absl::Minutes(2);
  EXPECT_EQ(store_->Purge(now_), 1);
  EXPECT_TRUE(store_->Look(unused, now_).ok());
  EXPECT_TRUE(absl::IsNotFound(store_->Look(stale, now_).status()));
  EXPECT_TRUE(absl::IsAlreadyExists(store_->Look(used, now_).status()));
  now_ += absl::Hours(25);
  EXPECT_EQ(store_->Purge(now_), 2);
}

TEST_F(JoinTokenStoreTest, ARecordThatOthersMayReadIsNotBelieved) {
  const std::string token = NewToken();
  for (const auto& entry : std::filesystem::directory_iterator(dir_ + "/tokens")) {
    if (entry.is_regular_file()) chmod(entry.path().c_str(), 0666);
  }
  EXPECT_FALSE(Use(token, now_).ok());
}

}  // namespace
}  // namespace countersign::control::attest
