#include "proxy/router/path_rewrite.h"

#include "gtest/gtest.h"

namespace countersign::router {
namespace {

using config::PathMatch;

std::string Prefix(PathMatch::Kind kind, std::string matched, std::string rewrite,
                   absl::string_view path) {
  config::ForwardAction action{.prefix_rewrite = std::move(rewrite), .has_prefix_rewrite = true};
  std::string out;
  EXPECT_EQ(RewritePath(action, {.kind = kind, .text = std::move(matched)}, path, out),
            PathRewrite::kChanged);
  return out;
}

std::string Regex(const char* regex, std::string substitution, absl::string_view path) {
  config::ForwardAction action;
  action.regex_rewrite = std::make_shared<const re2::RE2>(regex);
  action.substitution = std::move(substitution);
  std::string out;
  switch (RewritePath(action, {}, path, out)) {
    case PathRewrite::kUnchanged:
      return "unchanged";
    case PathRewrite::kLimit:
      return "limit";
    case PathRewrite::kChanged:
      break;
  }
  return out;
}

TEST(PathRewriteTest, APrefixIsReplacedAndTheQueryStays) {
  EXPECT_EQ(Prefix(PathMatch::Kind::kPrefix, "/api/", "/", "/api/x?y=/api/"), "/x?y=/api/");
  EXPECT_EQ(Prefix(PathMatch::Kind::kPrefix, "/a", "/b", "/abc"), "/bbc");
  EXPECT_EQ(Prefix(PathMatch::Kind::kExact, "/a", "/b/c", "/a?q"), "/b/c?q");
}

TEST(PathRewriteTest, WholeSegmentsAreReplacedWithoutDoubleSlashOrEmptyPath) {
  const auto kind = PathMatch::Kind::kPathPrefix;
  EXPECT_EQ(Prefix(kind, "/foo", "/xyz", "/foo/bar"), "/xyz/bar");
  EXPECT_EQ(Prefix(kind, "/foo", "/xyz/", "/foo/bar"), "/xyz/bar");
  EXPECT_EQ(Prefix(kind, "/foo/", "/xyz", "/foo/bar"), "/xyz/bar");
  EXPECT_EQ(Prefix(kind, "/foo", "/", "/foo/bar"), "/bar");
  EXPECT_EQ(Prefix(kind, "/foo", "", "/foo/bar"), "/bar");
  EXPECT_EQ(Prefix(kind, "/foo", "/", "/foo"), "/");
  EXPECT_EQ(Prefix(kind, "/foo", "/", "/foo?q"), "/?q");
  EXPECT_EQ(Prefix(kind, "/", "/v1", "/x"), "/v1/x");
}

TEST(PathRewriteTest, TheWholePathIsReplacedAndTheQueryStays) {
  config::ForwardAction action{.path_rewrite = "/one"};
  std::string out;
  EXPECT_EQ(RewritePath(action, {}, "/a/b?c", out), PathRewrite::kChanged);
  EXPECT_EQ(out, "/one?c");
}

TEST(PathRewriteTest, EveryMatchOfARegexIsReplaced) {
  EXPECT_EQ(Regex("^/service/([^/]+)(/.*)$", "\\2/instance/\\1", "/service/foo/v1/api?q"),
            "/v1/api/instance/foo?q");
  EXPECT_EQ(Regex("one", "two", "/xxx/one/yyy/one/zzz"), "/xxx/two/yyy/two/zzz");
  EXPECT_EQ(Regex("x*", "-", "/axb"), "/-/-a-b-");  // begins with a slash in any case
  EXPECT_EQ(Regex("nothing", "x", "/a"), "unchanged");
  EXPECT_EQ(Regex("/a/", "b", "/a/"), "/b");
}

TEST(PathRewriteTest, WhatRe2ReplacesIsReplaced) {
  for (const char* regex : {"a", "a*", "(a|b)+", "^/", "$", "b?", "/"}) {
    for (const char* path : {"/", "/a", "/aab/b", "/ba", "/a/a/a"}) {
      std::string expected = path;
      const re2::RE2 re(regex);
      const bool changed = re2::RE2::GlobalReplace(&expected, re, "<\\0>") > 0;
      if (changed && expected.front() != '/') expected.insert(expected.begin(), '/');
      EXPECT_EQ(Regex(regex, "<\\0>", path), changed ? expected : "unchanged")
          << regex << " in " << path;
    }
  }
}

TEST(PathRewriteTest, TheWorkOfOneRewriteIsBounded) {
  EXPECT_EQ(Regex("a", "b", "/" + std::string(kMaxPathReplacements, 'a')),
            "/" + std::string(kMaxPathReplacements, 'b'));
  EXPECT_EQ(Regex("a", "b", "/" + std::string(kMaxPathReplacements + 1, 'a')), "limit");
  EXPECT_EQ(Regex("a", std::string(1000, 'x'), "/" + std::string(40, 'a')), "limit");
}

TEST(PathRewriteTest, ARequestWithoutAPathIsLeftAlone) {
  config::ForwardAction action{.path_rewrite = "/one"};
  std::string out;
  EXPECT_EQ(RewritePath(action, {}, "*", out), PathRewrite::kUnchanged);
  EXPECT_EQ(RewritePath(action, {}, "", out), PathRewrite::kUnchanged);
}

}  // namespace
}  // namespace countersign::router
