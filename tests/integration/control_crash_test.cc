// kill -9 in the middle of issuing, again and again: nothing that was promised may be lost.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <atomic>
#include <filesystem>
#include <mutex>
#include <random>
#include <thread>
#include <vector>

#include "tests/integration/control_process.h"

namespace countersign::testing {
namespace {

using identity::v1::Refusal;

constexpr int kKills = 25;
constexpr int kTokensPerRound = 12;
constexpr int kClients = 3;
constexpr char kWeb[] = "spiffe://cluster.local/ns/shop/sa/web";

// What a round's clients have seen of their tokens. A token that was sent into the crash without an
// answer may be used or not; afterwards it must be one of the two for good.
struct Tokens {
  std::mutex mutex;
  std::vector<std::string> granted;
  std::vector<std::string> unanswered;
};

std::vector<std::string> MakeTokens(const ControlProcess& control) {
  const std::string lines =
      control.Command({"token", "create", "--state-dir", control.state_dir(), "--spiffe-id", kWeb,
                       "--ttl", "1h", "--count", std::to_string(kTokensPerRound)});
  std::vector<std::string> tokens;
  std::istringstream stream(lines);
  for (std::string line; std::getline(stream, line);) tokens.push_back(line);
  return tokens;
}

TEST(ControlCrashTest, KillingItWhileItIssuesLosesNothing) {
  ControlProcess control;
  // Intermediates of seconds, so that kills also fall into their renewal.
  const std::vector<std::string> flags = {"--intermediate-ttl", "3s", "--log-level", "warn"};
  control.Start(flags);
  const std::string bundle = ReadWholeFile(control.state_dir() + "/bundle.pem");
  ASSERT_FALSE(bundle.empty());

  std::mt19937 random(20);
  Tokens tokens;
  std::vector<std::string> unused;
  int issued = 0;
  for (int kill = 0; kill < kKills; ++kill) {
    std::vector<std::string> round = MakeTokens(control);
    unused.push_back(round.back());  // never presented before the end
    round.pop_back();
    std::atomic<size_t> next{0};
    std::vector<std::thread> clients;
    for (int i = 0; i < kClients; ++i) {
      clients.emplace_back([&] {
        for (size_t at = next++; at < round.size(); at = next++) {
          IdentityProbe probe(control.address(), bundle);
          const auto response = probe.Ask(probe.WithToken(round[at]));
          const std::lock_guard lock(tokens.mutex);
          (response.has_svid() ? tokens.granted : tokens.unanswered).push_back(round[at]);
          if (!response.has_svid()) {
            EXPECT_FALSE(response.has_refusal()) << response.DebugString();
          }
        }
      });
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(random() % 120));
    control.Kill();
    for (std::thread& client : clients) client.join();
    control.Start(flags);
    ASSERT_EQ(ReadWholeFile(control.state_dir() + "/bundle.pem"), bundle)
        << "the root must survive kill " << kill;
    IdentityProbe probe(control.address(), bundle);
    const auto response = probe.Ask(probe.WithToken(control.CreateToken(kWeb)));
    ASSERT_TRUE(response.has_svid()) << "after kill " << kill << ": " << control.log();
    ++issued;
  }
  EXPECT_GT(tokens.granted.size(), 0u) << "no kill fell behind a certificate";
  EXPECT_GT(tokens.unanswered.size(), 0u) << "no kill fell before a certificate";

  const auto ask = [&](const std::string& token) {
    IdentityProbe probe(control.address(), bundle);
    return probe.Ask(probe.WithToken(token));
  };
  for (const std::string& token : tokens.granted) {
    EXPECT_EQ(ask(token).refusal().reason(), Refusal::TOKEN_ALREADY_USED)
        << "a token that gave a certificate must stay used";
  }
  for (const std::string& token : unused) {
    EXPECT_TRUE(ask(token).has_svid()) << "a token that nobody used must work";
    EXPECT_EQ(ask(token).refusal().reason(), Refusal::TOKEN_ALREADY_USED);
  }
  int still_good = 0;
  for (const std::string& token : tokens.unanswered) {
    const auto response = ask(token);
    if (response.has_svid()) {
      ++still_good;
      EXPECT_EQ(ask(token).refusal().reason(), Refusal::TOKEN_ALREADY_USED);
    } else {
      EXPECT_EQ(response.refusal().reason(), Refusal::TOKEN_ALREADY_USED);
    }
  }
  // Nothing half-written is left behind by any of the kills.
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(control.state_dir() + "/ca")) {
    const std::string name = entry.path().filename();
    EXPECT_TRUE(name == "root.pem" || name == "root-key.pem" || name == "intermediate.pem" ||
                name.find(".tmp.") != std::string::npos)
        << name;
  }
  std::printf(
      "%d kills: %zu tokens used, %zu without an answer (%d of them still good), %zu unused\n",
      kKills, tokens.granted.size(), tokens.unanswered.size(), still_good, unused.size());
}

TEST(ControlCrashTest, KillingItDuringItsFirstStartLeavesAStateThatStarts) {
  std::mt19937 random(21);
  for (int round = 0; round < 20; ++round) {
    ControlProcess control;
    std::string bundle;
    for (int kill = 0; kill < 3; ++kill) {
      control.StartWithoutWaiting();
      std::this_thread::sleep_for(std::chrono::milliseconds(random() % 60));
      control.Kill();
      const std::string now = ReadWholeFile(control.state_dir() + "/bundle.pem");
      if (!bundle.empty()) {
        ASSERT_EQ(now, bundle) << "a published root must never change";
      }
      bundle = now;
    }
    control.Start();
    const std::string last = ReadWholeFile(control.state_dir() + "/bundle.pem");
    if (!bundle.empty()) {
      ASSERT_EQ(last, bundle);
    }
    IdentityProbe probe(control.address(), last);
    ASSERT_TRUE(probe.Ask(probe.WithToken(control.CreateToken(kWeb))).has_svid()) << control.log();
  }
}

}  // namespace
}  // namespace countersign::testing
