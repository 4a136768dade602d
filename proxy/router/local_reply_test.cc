#include "proxy/router/local_reply.h"

#include <set>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/router/reasons.h"

namespace countersign::router {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;

const ReplySubject kSubject{.route = "shop/web/0",
                            .cluster = "web.shop",
                            .endpoint = "10.0.0.7:8080",
                            .tries = 3,
                            .no_retry = "the retry budget of the cluster is used up"};

std::vector<LocalReply> All() {
  http::RequestHead head;
  head.authority = "web";
  const config::VirtualHost host{.name = "h"};
  std::vector<LocalReply> all = {
      NoRouteReply({}, head),
      NoRouteReply({nullptr, &host, nullptr}, head),
      NoClusterReply(kSubject),
      NoHealthyEndpointReply(kSubject),
      FaultReply(kSubject, {.abort_status = 503}, false),
      UpgradeForbiddenReply(kSubject, "websocket"),
      RewriteLimitReply(kSubject),
      BufferLimitReply(kSubject, 1 << 20),
  };
  for (const auto failure : {upstream::PoolFailure::kOverflow, upstream::PoolFailure::kConnect,
                             upstream::PoolFailure::kNoIdentity}) {
    all.push_back(PoolFailureReply(kSubject, failure, "why"));
  }
  for (const auto end :
       {http::StreamEnd::kPeerReset, http::StreamEnd::kRefused, http::StreamEnd::kConnectionLost,
        http::StreamEnd::kProtocolError, http::StreamEnd::kLimit}) {
    all.push_back(BrokenStreamReply(kSubject, end, "why"));
  }
  for (const auto what : {Expired::kRoute, Expired::kGrpcDeadline, Expired::kTry, Expired::kTryIdle,
                          Expired::kIdle}) {
    all.push_back(TimeoutReply(kSubject, what, std::chrono::milliseconds(5), true));
  }
  return all;
}

TEST(LocalReplyTest, EveryReasonOfTheTableIsGivenWithItsStatusAndNoOther) {
  std::set<std::pair<std::string, int>> declared;
#define COUNTERSIGN_ROW(name, token, status, meaning) declared.emplace(token, status);
  COUNTERSIGN_ROUTER_REASONS(COUNTERSIGN_ROW)
#undef COUNTERSIGN_ROW
  // A route's own answers are no failures: the router gives them.
  std::set<std::pair<std::string, int>> given = {{std::string(kReasonRedirect), 301},
                                                 {std::string(kReasonDirectResponse), 500}};
  for (const LocalReply& reply : All()) {
    given.emplace(std::string(reply.reason), static_cast<int>(reply.status));
  }
  EXPECT_EQ(given, declared);
}

TEST(LocalReplyTest, EverySentenceIsOneForAPersonAndNamesWhomItIsAbout) {
  for (const LocalReply& reply : All()) {
    EXPECT_GT(reply.sentence.size(), 40u) << reply.reason;
    EXPECT_EQ(reply.sentence.find("  "), std::string::npos) << reply.sentence;
    EXPECT_EQ(reply.sentence.find(".."), std::string::npos) << reply.sentence;
    EXPECT_THAT(reply.sentence, AnyOf(HasSubstr("web"), HasSubstr("`h`")));
  }
}

TEST(LocalReplyTest, ItSaysHowOftenItWasTriedAndWhyNoMore) {
  const std::string sentence =
      PoolFailureReply(kSubject, upstream::PoolFailure::kConnect, "connection refused").sentence;
  EXPECT_EQ(sentence,
            "no connection to the endpoint 10.0.0.7:8080 of `web.shop`; nothing was sent: "
            "connection refused. It was tried 3 times. It was not tried again: the retry budget "
            "of the cluster is used up.");
}

TEST(LocalReplyTest, AnIdleClientIsAnswered408) {
  const LocalReply reply =
      TimeoutReply(kSubject, Expired::kIdle, std::chrono::milliseconds(5), false);
  EXPECT_EQ(reply.status, 408);
  EXPECT_EQ(reply.flags, kStreamIdleTimeout);
}

}  // namespace
}  // namespace countersign::router
