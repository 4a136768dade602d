#include "proxy/http/field_rules.h"

#include <string>

#include "gtest/gtest.h"

namespace countersign::http {
namespace {

TEST(FieldRulesTest, TokensAreLoweredAndNothingElseIsOne) {
  EXPECT_EQ(kTokenLower['A'], 'a');
  EXPECT_EQ(kTokenLower['~'], '~');
  EXPECT_EQ(kTokenLower[0], 0);
  EXPECT_EQ(kTokenLower[':'], 0);
  EXPECT_EQ(kTokenLower[0xe4], 0);
  EXPECT_TRUE(IsToken("x-A!1"));
  EXPECT_FALSE(IsToken(""));
  EXPECT_FALSE(IsToken("a b"));
}

TEST(FieldRulesTest, ValuesHaveNoControlBytes) {
  EXPECT_TRUE(IsFieldValue("a\tb \xe4"));
  for (const char c : {'\0', '\r', '\n', '\x01', '\x7f'}) {
    EXPECT_FALSE(IsFieldValue(std::string(20, 'a') + c));
  }
}

TEST(FieldRulesTest, AuthoritiesHaveNoUserinfo) {
  EXPECT_TRUE(IsAuthority("shop.example:80"));
  EXPECT_TRUE(IsAuthority("[::1]:80"));
  EXPECT_FALSE(IsAuthority("me@shop"));
  EXPECT_FALSE(IsAuthority("a b"));
  EXPECT_FALSE(IsAuthority("a/b"));
}

TEST(FieldRulesTest, AHostIsTheSameInOtherWords) {
  EXPECT_TRUE(IsSameAuthority("shop", "Shop:80", "http"));
  EXPECT_TRUE(IsSameAuthority("[::1]:443", "[::1]", "https"));
  EXPECT_FALSE(IsSameAuthority("shop", "shop:80", "https"));
  EXPECT_FALSE(IsSameAuthority("shop:8080", "shop", "http"));
  EXPECT_FALSE(IsSameAuthority("shop", "shops", "http"));
}

TEST(FieldRulesTest, ListsAreSplitWithoutTheirWhiteSpace) {
  absl::string_view list = " a,, b\t,c ";
  absl::string_view element;
  std::string all;
  while (NextInList(list, element)) all += std::string(element) + "|";
  EXPECT_EQ(all, "a|b|c|");
}

TEST(FieldRulesTest, TrailersCannotChangeTheirMessage) {
  for (const char* name : {"content-length", "host", "transfer-encoding", "authorization", "te",
                           "x-forwarded-client-cert", "connection", "set-cookie", "trailer"}) {
    EXPECT_TRUE(IsForbiddenInTrailers({name, "x", FindHeaderId(name)})) << name;
  }
  for (const char* name : {"grpc-status", "grpc-message", "x-checksum", "etag"}) {
    EXPECT_FALSE(IsForbiddenInTrailers({name, "x", FindHeaderId(name)})) << name;
  }
}

TEST(FieldRulesTest, CookiesAreJoinedAndOneIsLeftAlone) {
  HeaderMap headers;
  headers.Add(HeaderId::kCookie, "a=1");
  JoinCookies(headers);
  EXPECT_EQ(headers.Get(HeaderId::kCookie), "a=1");
  headers.Add(HeaderId::kCookie, "");
  headers.Add(HeaderId::kCookie, "b=2");
  JoinCookies(headers);
  EXPECT_EQ(headers.size(), 1u);
  EXPECT_EQ(headers.Get(HeaderId::kCookie), "a=1; ; b=2");
}

}  // namespace
}  // namespace countersign::http
