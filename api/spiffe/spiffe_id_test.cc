#include "api/spiffe/spiffe_id.h"

#include <gtest/gtest.h>

namespace countersign::spiffe {
namespace {

bool Parses(absl::string_view uri) { return SpiffeId::Parse(uri).ok(); }

TEST(SpiffeIdTest, TakesApartAValidId) {
  absl::StatusOr<SpiffeId> id = SpiffeId::Parse("spiffe://cluster.local/ns/shop/sa/Web_1.a-b");
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(id->trust_domain(), "cluster.local");
  EXPECT_EQ(id->path(), "/ns/shop/sa/Web_1.a-b");
  EXPECT_EQ(id->ToString(), "spiffe://cluster.local/ns/shop/sa/Web_1.a-b");
}

TEST(SpiffeIdTest, ATrustDomainsOwnIdHasNoPath) {
  absl::StatusOr<SpiffeId> id = SpiffeId::Parse("spiffe://cluster.local");
  ASSERT_TRUE(id.ok()) << id.status();
  EXPECT_EQ(id->trust_domain(), "cluster.local");
  EXPECT_EQ(id->path(), "");
}

TEST(SpiffeIdTest, TheDefaultEqualsNoValidId) {
  EXPECT_TRUE(SpiffeId().empty());
  EXPECT_EQ(SpiffeId().trust_domain(), "");
  EXPECT_EQ(SpiffeId().path(), "");
  EXPECT_FALSE(SpiffeId() == *SpiffeId::Parse("spiffe://a/b"));
}

TEST(SpiffeIdTest, OtherSchemesAreRefused) {
  EXPECT_FALSE(Parses("https://cluster.local/web"));
  EXPECT_FALSE(Parses("SPIFFE://cluster.local/web"));
  EXPECT_FALSE(Parses("spiffe:/cluster.local/web"));
  EXPECT_FALSE(Parses("spiffe:cluster.local/web"));
  EXPECT_FALSE(Parses(" spiffe://cluster.local/web"));
  EXPECT_FALSE(Parses(""));
}

TEST(SpiffeIdTest, UppercaseTrustDomainsAreRefused) {
  EXPECT_FALSE(Parses("spiffe://Cluster.local/web"));
}

TEST(SpiffeIdTest, ATrustDomainIsComparedWhole) {
  EXPECT_EQ(SpiffeId::Parse("spiffe://td.evil/a")->trust_domain(), "td.evil");
  EXPECT_FALSE(*SpiffeId::Parse("spiffe://td.evil/a") == *SpiffeId::Parse("spiffe://td/a"));
}

TEST(SpiffeIdTest, PortUserinfoQueryAndFragmentAreRefused) {
  EXPECT_FALSE(Parses("spiffe://cluster.local:80/web"));
  EXPECT_FALSE(Parses("spiffe://user@cluster.local/web"));
  EXPECT_FALSE(Parses("spiffe://user:password@cluster.local/web"));
  EXPECT_FALSE(Parses("spiffe://cluster.local/web?a=b"));
  EXPECT_FALSE(Parses("spiffe://cluster.local?a=b"));
  EXPECT_FALSE(Parses("spiffe://cluster.local/web#top"));
}

TEST(SpiffeIdTest, PercentEncodingIsRefused) {
  EXPECT_FALSE(Parses("spiffe://cluster.local/%77eb"));
  EXPECT_FALSE(Parses("spiffe://cluster%2elocal/web"));
}

TEST(SpiffeIdTest, EmptyAndDotSegmentsAreRefused) {
  EXPECT_FALSE(Parses("spiffe://cluster.local/"));
  EXPECT_FALSE(Parses("spiffe://cluster.local/web/"));
  EXPECT_FALSE(Parses("spiffe://cluster.local//web"));
  EXPECT_FALSE(Parses("spiffe://cluster.local/a//b"));
  EXPECT_FALSE(Parses("spiffe://cluster.local/."));
  EXPECT_FALSE(Parses("spiffe://cluster.local/a/../b"));
  EXPECT_FALSE(Parses("spiffe://cluster.local/.."));
  EXPECT_TRUE(Parses("spiffe://cluster.local/..."));
  EXPECT_TRUE(Parses("spiffe://cluster.local/.a"));
}

TEST(SpiffeIdTest, AnEmptyTrustDomainIsRefused) {
  EXPECT_FALSE(Parses("spiffe://"));
  EXPECT_FALSE(Parses("spiffe:///web"));
}

TEST(SpiffeIdTest, SeparatorsAndControlBytesAreRefusedAndNotRepeated) {
  for (char c : {',', ';', '"', '\r', '\n', '\0', '\\', ' ', '\x7f', '\x80'}) {
    const std::string uri = std::string("spiffe://cluster.local/we") + c + "b";
    absl::StatusOr<SpiffeId> id = SpiffeId::Parse(uri);
    EXPECT_FALSE(id.ok()) << static_cast<int>(c);
    for (char shown : id.status().message()) {
      EXPECT_TRUE(shown >= 0x20 && shown < 0x7f) << static_cast<int>(shown);
    }
  }
}

TEST(SpiffeIdTest, LengthLimitsAreExact) {
  const std::string domain(kMaxTrustDomainBytes, 'a');
  EXPECT_TRUE(Parses("spiffe://" + domain + "/a"));
  EXPECT_FALSE(Parses("spiffe://" + domain + "a/a"));
  const std::string prefix = "spiffe://a/";
  EXPECT_TRUE(Parses(prefix + std::string(kMaxSpiffeIdBytes - prefix.size(), 'a')));
  EXPECT_FALSE(Parses(prefix + std::string(kMaxSpiffeIdBytes - prefix.size() + 1, 'a')));
}

}  // namespace
}  // namespace countersign::spiffe
