#include "proxy/router/hash_policy.h"

#include "gtest/gtest.h"

namespace countersign::router {
namespace {

using Kind = config::HashPolicy::Kind;

TEST(HashPolicyTest, TheHashIsTheSameForEver) {
  EXPECT_EQ(StableHash(""), 0xefd01f60ba992926ULL);
  EXPECT_EQ(StableHash("alice"), StableHash("alice"));
  EXPECT_NE(StableHash("alice"), StableHash("bob"));
}

TEST(HashPolicyTest, ATerminalPolicyThatYieldsEndsIt) {
  Dice dice(1);
  http::RequestHead head;
  head.path = "/?user=7";
  const std::vector<config::HashPolicy> policies = {
      {.kind = Kind::kHeader, .name = "x-user", .terminal = true},
      {.kind = Kind::kQuery, .name = "user", .terminal = true},
      {.kind = Kind::kSourceIp}};
  EXPECT_EQ(HashRequest(policies, head, {}, dice).hash, StableHash("7"));
  head.headers.Add("x-user", "alice");
  EXPECT_EQ(HashRequest(policies, head, {}, dice).hash, StableHash("alice"));
}

TEST(HashPolicyTest, NothingThatYieldsIsNoHash) {
  Dice dice(1);
  http::RequestHead head;
  EXPECT_FALSE(HashRequest({{.kind = Kind::kHeader, .name = "x"}}, head, {}, dice).hash);
  EXPECT_FALSE(HashRequest({{.kind = Kind::kCookie, .name = "c"}}, head, {}, dice).hash);
}

TEST(HashPolicyTest, CookiesAreFoundInAnyFieldByTheirWholeName) {
  http::HeaderMap headers;
  headers.Add("cookie", "xsid=1; other=2");
  headers.Add("cookie", "a=b;sid=\"q 3\"");
  EXPECT_EQ(FindCookie(headers, "sid"), "q 3");
  EXPECT_EQ(FindCookie(headers, "other"), "2");
  EXPECT_EQ(FindCookie(headers, "si").data(), nullptr);
}

TEST(HashPolicyTest, AClientWithoutTheCookieIsGivenOneThatHashesAlikeNextTime) {
  Dice dice(7);
  const std::vector<config::HashPolicy> policies = {{.kind = Kind::kCookie,
                                                     .name = "sid",
                                                     .cookie_ttl = std::chrono::seconds(60),
                                                     .cookie_path = "/shop"}};
  http::RequestHead head;
  const RequestHash first = HashRequest(policies, head, {}, dice);
  ASSERT_NE(first.new_cookie, nullptr);
  std::string cookie;
  FormatSetCookie(*first.new_cookie, first.cookie_value, cookie);
  const std::string value = cookie.substr(4, 16);
  EXPECT_EQ(cookie, "sid=" + value + "; Max-Age=60; Path=/shop; HttpOnly");
  head.headers.Add("cookie", "sid=" + value);
  const RequestHash second = HashRequest(policies, head, {}, dice);
  EXPECT_EQ(second.new_cookie, nullptr);
  EXPECT_EQ(second.hash, first.hash);
}

TEST(HashPolicyTest, OneAddressIsOneHashWhateverItsFamily) {
  Dice dice(1);
  http::RequestHead head;
  const std::vector<config::HashPolicy> policies = {{.kind = Kind::kSourceIp}};
  const auto hash = [&](const char* text) {
    return HashRequest(policies, head, *net::IpAddress::Parse(text), dice).hash;
  };
  EXPECT_EQ(hash("10.0.0.1"), hash("::ffff:10.0.0.1"));
  EXPECT_NE(hash("10.0.0.1"), hash("10.0.0.2"));
}

}  // namespace
}  // namespace countersign::router
