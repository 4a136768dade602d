#include "proxy/router/route_table.h"

#include <string>
#include <utility>
#include <vector>

#include "gtest/gtest.h"

namespace countersign::router {
namespace {

using config::PathMatch;
using config::StringMatch;

config::Route PathRoute(std::string name, PathMatch::Kind kind, std::string text) {
  config::Route route{.name = std::move(name)};
  route.match.path = {.kind = kind, .text = std::move(text)};
  return route;
}

config::Route Any(std::string name) {
  return PathRoute(std::move(name), PathMatch::Kind::kPrefix, "/");
}

class RouteTableTest : public ::testing::Test {
 protected:
  void AddHost(std::string name, std::vector<std::string> domains,
               std::vector<config::Route> routes = {}) {
    if (routes.empty()) routes.push_back(Any(name));
    config_.virtual_hosts.push_back(
        {.name = std::move(name), .domains = std::move(domains), .routes = std::move(routes)});
  }
  // The route's name; `-` for none.
  std::string Find(absl::string_view authority, absl::string_view path = "/",
                   absl::string_view method = "GET") {
    head_.authority = authority;
    head_.path = path;
    head_.method = method;
    const RouteTable table(std::make_shared<config::RouteConfiguration>(config_));
    const RouteChoice choice = table.Find(head_);
    return choice.route == nullptr ? "-" : choice.route->name;
  }

  config::RouteConfiguration config_;
  http::RequestHead head_;
};

TEST_F(RouteTableTest, AnExactDomainBeatsASuffixASuffixAPrefixAndAPrefixAll) {
  AddHost("all", {"*"});
  AddHost("prefix", {"web.*"});
  AddHost("suffix", {"*.shop"});
  AddHost("exact", {"web.shop"});
  EXPECT_EQ(Find("web.shop"), "exact");
  EXPECT_EQ(Find("api.shop"), "suffix");
  EXPECT_EQ(Find("web.other"), "prefix");
  EXPECT_EQ(Find("other"), "all");
  EXPECT_EQ(Find(""), "all");
}

TEST_F(RouteTableTest, TheLongestSuffixAndTheLongestPrefixWin) {
  AddHost("short", {"*.shop", "w*"});
  AddHost("long", {"*.eu.shop", "web.*"});
  EXPECT_EQ(Find("a.shop"), "short");
  EXPECT_EQ(Find("a.eu.shop"), "long");
  EXPECT_EQ(Find("wab.x"), "short");
  EXPECT_EQ(Find("web.x"), "long");
}

TEST_F(RouteTableTest, AStarStandsForOneByteAtLeast) {
  AddHost("suffix", {"*-x.shop"});
  AddHost("prefix", {"web.*"});
  EXPECT_EQ(Find("a-x.shop"), "suffix");
  EXPECT_EQ(Find("-x.shop"), "-");
  EXPECT_EQ(Find("web."), "-");
}

TEST_F(RouteTableTest, APortCountsOnlyWhereADomainNamesIt) {
  AddHost("any port", {"web.shop", "[2001:db8::1]", "::1"});
  AddHost("this port", {"web.shop:8080"});
  EXPECT_EQ(Find("web.shop"), "any port");
  EXPECT_EQ(Find("web.shop:80"), "any port");
  EXPECT_EQ(Find("web.shop:8080"), "this port");
  EXPECT_EQ(Find("[2001:db8::1]:80"), "any port");
  EXPECT_EQ(Find("::1"), "any port");
  EXPECT_EQ(Find("web.shop:http"), "-");
}

TEST_F(RouteTableTest, NamesAreComparedWithoutCaseAndWithoutTheFinalDot) {
  AddHost("web", {"web.shop"});
  EXPECT_EQ(Find("WEB.Shop"), "web");
  EXPECT_EQ(Find("web.shop."), "web");
  EXPECT_EQ(Find("web.shop.:80"), "web");
}

TEST_F(RouteTableTest, AnAuthorityLongerThanANameTakesOnlyTheStar) {
  AddHost("suffix", {"*.shop"});
  const std::string longest = std::string(RouteTable::kMaxAuthorityBytes - 5, 'a') + ".shop";
  EXPECT_EQ(Find(longest), "suffix");
  EXPECT_EQ(Find("a" + longest), "-");
  AddHost("all", {"*"});
  EXPECT_EQ(Find("a" + longest), "all");
}

TEST_F(RouteTableTest, TheFirstRouteThatMatchesIsTaken) {
  AddHost("h", {"*"},
          {PathRoute("a", PathMatch::Kind::kPrefix, "/a"),
           PathRoute("ab", PathMatch::Kind::kPrefix, "/ab"), Any("rest")});
  EXPECT_EQ(Find("x", "/abc"), "a");
  EXPECT_EQ(Find("x", "/b"), "rest");
}

TEST_F(RouteTableTest, APathPrefixEndsAtASegmentAndAPlainPrefixDoesNot) {
  AddHost("h", {"*"},
          {PathRoute("segments", PathMatch::Kind::kPathPrefix, "/a"),
           PathRoute("slash", PathMatch::Kind::kPathPrefix, "/b/"),
           PathRoute("plain", PathMatch::Kind::kPrefix, "/a")});
  EXPECT_EQ(Find("x", "/a"), "segments");
  EXPECT_EQ(Find("x", "/a/b"), "segments");
  EXPECT_EQ(Find("x", "/a?b"), "segments");
  EXPECT_EQ(Find("x", "/ab"), "plain");
  EXPECT_EQ(Find("x", "/b"), "slash");
  EXPECT_EQ(Find("x", "/b/c"), "slash");
  EXPECT_EQ(Find("x", "/bc"), "-");
}

TEST_F(RouteTableTest, AnExactPathAndARegexLeaveTheQueryAlone) {
  config::Route regex = PathRoute("regex", PathMatch::Kind::kRegex, "");
  regex.match.path.regex = std::make_shared<const re2::RE2>("/v[0-9]+/.*");
  AddHost("h", {"*"}, {PathRoute("exact", PathMatch::Kind::kExact, "/a"), regex});
  EXPECT_EQ(Find("x", "/a?q=1"), "exact");
  EXPECT_EQ(Find("x", "/a/"), "-");
  EXPECT_EQ(Find("x", "/v12/x?y"), "regex");
  EXPECT_EQ(Find("x", "/w/v12/x"), "-");  // the whole path
}

TEST_F(RouteTableTest, ManyExactPathsKeepTheRoutesOrder) {
  std::vector<config::Route> routes;
  for (int i = 0; i < 500; ++i) {
    const std::string text = std::to_string(i);
    routes.push_back(PathRoute("exact " + text, PathMatch::Kind::kExact, "/m/" + text));
    if (i == 250) routes.push_back(PathRoute("middle", PathMatch::Kind::kPrefix, "/m/3"));
  }
  config::Route posts = PathRoute("post", PathMatch::Kind::kExact, "/m/7");
  posts.match.method = "POST";
  routes.insert(routes.begin(), posts);
  routes.push_back(Any("rest"));
  AddHost("h", {"*"}, routes);
  EXPECT_EQ(Find("x", "/m/249"), "exact 249");
  EXPECT_EQ(Find("x", "/m/30"), "exact 30");  // before the prefix
  EXPECT_EQ(Find("x", "/m/300"), "middle");   // behind it
  EXPECT_EQ(Find("x", "/m/499"), "exact 499");
  EXPECT_EQ(Find("x", "/m/7", "POST"), "post");
  EXPECT_EQ(Find("x", "/m/7", "GET"), "exact 7");
  EXPECT_EQ(Find("x", "/m/777"), "rest");
}

TEST_F(RouteTableTest, ARequestWithoutAPathTakesOnlyRoutesThatTakeEveryPath) {
  AddHost("h", {"*"},
          {PathRoute("exact", PathMatch::Kind::kExact, "/"),
           PathRoute("a", PathMatch::Kind::kPrefix, "/a"), Any("every")});
  EXPECT_EQ(Find("x:80", "", "CONNECT"), "every");
  EXPECT_EQ(Find("x", "*", "OPTIONS"), "every");
  EXPECT_EQ(Find("x", "/", "OPTIONS"), "exact");
}

TEST_F(RouteTableTest, EveryConditionOfARouteMustHold) {
  config::Route route = Any("canary");
  route.match.method = "GET";
  route.match.headers.push_back({"x-canary", {.text = "yes"}});
  route.match.headers.push_back({":scheme", {.text = "http"}});
  route.match.query.push_back({"v", {.kind = StringMatch::Kind::kPrefix, .text = "2"}});
  AddHost("h", {"*"}, {route});
  head_.scheme = "http";
  EXPECT_EQ(Find("x", "/?v=2.1"), "-");
  head_.headers.Add("x-canary", "yes");
  EXPECT_EQ(Find("x", "/?v=2.1"), "canary");
  EXPECT_EQ(Find("x", "/?a&v=2"), "canary");
  EXPECT_EQ(Find("x", "/?v=1&v=2"), "-");  // the first counts
  EXPECT_EQ(Find("x", "/?v=2.1", "POST"), "-");
}

TEST_F(RouteTableTest, ARepeatedHeaderIsOneValueJoinedByCommas) {
  config::Route route = Any("both");
  route.match.headers.push_back({"x-a", {.text = "1,2"}});
  AddHost("h", {"*"}, {route});
  head_.headers.Add("x-a", "1");
  EXPECT_EQ(Find("x"), "-");
  head_.headers.Add("x-a", "2");
  EXPECT_EQ(Find("x"), "both");
}

TEST_F(RouteTableTest, AnAbsentHeaderMatchesNothingInvertedOrNotExceptThatItIsAbsent) {
  config::Route inverted = Any("inverted");
  inverted.match.headers.push_back({"x-a", {.text = "1", .invert = true}});
  config::Route absent = Any("absent");
  absent.match.headers.push_back({"x-a", {.kind = StringMatch::Kind::kPresent, .invert = true}});
  AddHost("h", {"*"}, {inverted, absent});
  EXPECT_EQ(Find("x"), "absent");
  head_.headers.Add("x-a", "1");
  EXPECT_EQ(Find("x"), "-");
  head_.headers.Set("x-a", "2");
  EXPECT_EQ(Find("x"), "inverted");
}

TEST_F(RouteTableTest, GrpcRoutesTakeTheContentTypesOfGrpcAlone) {
  config::Route route = Any("grpc");
  route.match.grpc = true;
  AddHost("h", {"*"}, {route});
  for (const auto& [type, expected] :
       std::vector<std::pair<std::string, std::string>>{{"application/grpc", "grpc"},
                                                        {"application/grpc+proto", "grpc"},
                                                        {"application/grpc;charset=x", "grpc"},
                                                        {"application/grpc-web", "-"},
                                                        {"application/json", "-"}}) {
    head_.headers.Set("content-type", type);
    EXPECT_EQ(Find("x"), expected) << type;
  }
}

TEST_F(RouteTableTest, AHardRegexOnALongPathIsLinear) {
  // A backtracking matcher would need 2^60000 steps.
  config::Route route = PathRoute("hard", PathMatch::Kind::kRegex, "");
  route.match.path.regex = std::make_shared<const re2::RE2>("/(a*)*(a|aa)*b");
  AddHost("h", {"*"}, {route});
  EXPECT_EQ(Find("x", "/" + std::string(60'000, 'a')), "-");
  EXPECT_EQ(Find("x", "/" + std::string(60'000, 'a') + "b"), "hard");
}

}  // namespace
}  // namespace countersign::router
