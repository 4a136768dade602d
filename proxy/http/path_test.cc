#include "proxy/http/path.h"

#include <string>

#include "gtest/gtest.h"

namespace countersign::http {
namespace {

using Slashes = PathRules::EscapedSlashes;

std::string Normal(absl::string_view path, PathRules rules = {}) {
  HeaderMap memory;
  const NormalisedPath result = NormalisePath(path, rules, memory);
  if (result.refusal != nullptr) return "refused";
  HeaderMap again;
  const NormalisedPath twice = NormalisePath(result.path, rules, again);
  EXPECT_EQ(twice.refusal, nullptr) << path;
  EXPECT_EQ(twice.path, result.path) << path;
  return std::string(result.path);
}

TEST(PathTest, DotSegmentsAreResolvedHoweverTheyAreWritten) {
  EXPECT_EQ(Normal("/a/./b"), "/a/b");
  EXPECT_EQ(Normal("/a/../b"), "/b");
  EXPECT_EQ(Normal("/a/%2e%2E/b"), "/b");
  EXPECT_EQ(Normal("/a/.%2e/b"), "/b");
  EXPECT_EQ(Normal("/a/b/.."), "/a/");
  EXPECT_EQ(Normal("/a/b/."), "/a/b/");
  EXPECT_EQ(Normal("/../../etc"), "/etc");
  EXPECT_EQ(Normal("/.."), "/");
  EXPECT_EQ(Normal("/a/..\\..\\b"), "/b");
  EXPECT_EQ(Normal("/public/%2e%2e/admin?x=/../y"), "/admin?x=/../y");
  EXPECT_EQ(Normal("/..."), "/...");
  EXPECT_EQ(Normal("/.well-known/x"), "/.well-known/x");
}

TEST(PathTest, SlashesAreMergedIfTheRulesSaySo) {
  EXPECT_EQ(Normal("//a///b//"), "/a/b/");
  EXPECT_EQ(Normal("/a//../b"), "/b");
  PathRules keep;
  keep.merge_slashes = false;
  EXPECT_EQ(Normal("//a//b", keep), "//a//b");
  EXPECT_EQ(Normal("/a//../b", keep), "/a/b");
  EXPECT_EQ(Normal("//..", keep), "/");
}

TEST(PathTest, EscapedSlashesFollowTheRules) {
  EXPECT_EQ(Normal("/a%2Fb"), "refused");
  EXPECT_EQ(Normal("/a%5cb"), "refused");
  PathRules rules;
  rules.escaped_slashes = Slashes::kKeep;
  EXPECT_EQ(Normal("/a%2fb", rules), "/a%2Fb");
  EXPECT_EQ(Normal("/a%2f..%2fb", rules), "/a%2F..%2Fb");
  rules.escaped_slashes = Slashes::kUnescape;
  EXPECT_EQ(Normal("/a%2f..%5cb", rules), "/b");
}

TEST(PathTest, WhatServersReadDifferentlyIsRefused) {
  EXPECT_EQ(Normal("/a%00b"), "refused");
  EXPECT_EQ(Normal("/a/..;/b"), "refused");
  EXPECT_EQ(Normal("/a/.;x=1/b"), "refused");
  EXPECT_EQ(Normal("/a/..;x"), "refused");
  EXPECT_EQ(Normal("/a/%2e%2e%3bx/b"), "refused");
  EXPECT_EQ(Normal("/a%"), "refused");
  EXPECT_EQ(Normal("/a%2"), "refused");
  EXPECT_EQ(Normal("/a%zz"), "refused");
}

TEST(PathTest, EscapesHaveOneForm) {
  EXPECT_EQ(Normal("/%41%7e%c3%a4%20"), "/A~%C3%A4%20");
  EXPECT_EQ(Normal("/%252e%252e/x"), "/%252e%252e/x");
  EXPECT_EQ(Normal("/a;v=1/b"), "/a;v=1/b");
}

TEST(PathTest, WhatIsNormalStaysWhereItIs) {
  for (const absl::string_view path : {"/", "/a/b.c?d=//e%zz", "*", "", "/a%20b"}) {
    HeaderMap memory;
    const NormalisedPath result = NormalisePath(path, {}, memory);
    EXPECT_EQ(result.path.data(), path.data());
    EXPECT_EQ(result.path.size(), path.size());
  }
}

TEST(PathTest, LongPathsAreNormalisedToo) {
  const std::string longer(5000, 'x');
  EXPECT_EQ(Normal("/" + longer + "/../y"), "/y");
  EXPECT_EQ(Normal("//" + longer), "/" + longer);
}

}  // namespace
}  // namespace countersign::http
