#include "proxy/router/redirect.h"

#include "gtest/gtest.h"

namespace countersign::router {
namespace {

std::string Location(const config::RedirectAction& action, absl::string_view authority,
                     absl::string_view path, config::PathMatch match = {}) {
  http::RequestHead head;
  head.method = "GET";
  head.scheme = "http";
  head.authority = authority;
  head.path = path;
  std::string out;
  BuildLocation(action, match, head, out);
  return out;
}

TEST(RedirectTest, WhatIsNotNamedIsKept) {
  EXPECT_EQ(Location({}, "web.shop:8080", "/a?b"), "http://web.shop:8080/a?b");
  EXPECT_EQ(Location({.host = "other"}, "web.shop:8080", "/a?b"), "http://other:8080/a?b");
  EXPECT_EQ(Location({.strip_query = true}, "web.shop", "/a?b"), "http://web.shop/a");
}

TEST(RedirectTest, TheOldSchemesDefaultPortGoesWithItAndTheNewOnesIsNotSaid) {
  EXPECT_EQ(Location({.scheme = "https"}, "web.shop:80", "/"), "https://web.shop/");
  EXPECT_EQ(Location({.scheme = "https"}, "web.shop:8080", "/"), "https://web.shop:8080/");
  EXPECT_EQ(Location({.scheme = "https", .port = 443}, "web.shop", "/"), "https://web.shop/");
  EXPECT_EQ(Location({.scheme = "https", .port = 8443}, "[::1]:80", "/"), "https://[::1]:8443/");
}

TEST(RedirectTest, ThePathOrItsPrefixIsReplaced) {
  EXPECT_EQ(Location({.path = "/new"}, "w", "/old?q"), "http://w/new?q");
  EXPECT_EQ(Location({.path = "/new?x"}, "w", "/old?q"), "http://w/new?x");
  EXPECT_EQ(Location({.prefix = "/new", .has_prefix = true}, "w", "/old/a?q",
                     {.kind = config::PathMatch::Kind::kPathPrefix, .text = "/old"}),
            "http://w/new/a?q");
  EXPECT_EQ(Location({.prefix = "/", .has_prefix = true}, "w", "/old",
                     {.kind = config::PathMatch::Kind::kPathPrefix, .text = "/old"}),
            "http://w/");
}

TEST(RedirectTest, WithoutAnAuthorityTheReferenceIsRelative) {
  EXPECT_EQ(Location({.path = "/new"}, "", "/old"), "/new");
}

}  // namespace
}  // namespace countersign::router
