// The Gateway API's order of precedence, and where requests go that no rule is about.
#include "control/compile/routes.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/registry/file/resource_loader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::control::compile {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace route = ::envoy::config::route::v3;

std::string Route(const std::string& name, const std::string& rules,
                  const std::string& created = "", const std::string& hosts = "") {
  return "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: " +
         name + (created.empty() ? "" : ", creationTimestamp: \"" + created + "\"") +
         "}\nspec:\n  parentRefs: [{kind: Service, name: web}]\n  hostnames: [" + hosts +
         "]\n  rules: [" + rules + "]\n";
}
std::string Rule(const std::string& name, const std::string& match) {
  return "{name: " + name + ", matches: [{" + match + "}], backendRefs: [{name: web, port: 80}]}";
}

route::RouteConfiguration Routes(const std::string& yaml) {
  std::vector<registry::ConfigError> errors;
  const auto resources = registry::LoadResources(
      "f.yaml",
      absl::StrCat("apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {clusterIP: "
                   "10.96.0.1, ports: [{name: http, port: 80}]}\n",
                   yaml),
      {}, &errors);
  std::vector<const registry::Resource*> pointers;
  for (const registry::Resource& resource : resources) {
    pointers.push_back(&resource);
  }
  const auto model = registry::Model::Build(pointers, 1, absl::UnixEpoch(), &errors);
  for (const registry::ConfigError& error : errors) {
    ADD_FAILURE() << error.ToString();
  }
  route::RouteConfiguration out;
  if (model != nullptr) {
    const registry::Service& service = *model->FindService("default/web");
    FillServiceRoutes(*model, service, service.ports[0], "service/default/web:80/v4", &out);
  }
  return out;
}

// `h: a b`: the routes of the host in order, by the part of their name behind the last slash.
std::vector<std::string> Order(const route::RouteConfiguration& routes) {
  std::vector<std::string> all;
  for (const route::VirtualHost& host : routes.virtual_hosts()) {
    std::string line = absl::StrCat(host.domains(0), ":");
    for (const route::Route& one : host.routes()) {
      absl::StrAppend(&line, " ", one.name().substr(one.name().rfind('/') + 1));
    }
    all.push_back(line);
  }
  return all;
}

TEST(RoutesTest, WithoutRoutesEverythingGoesToTheServiceItself) {
  EXPECT_THAT(Order(Routes("")), ElementsAre("*: default"));
}

TEST(RoutesTest, AnExactPathBeatsAnExpressionBeatsTheLongestPrefix) {
  EXPECT_THAT(
      Order(Routes(Route("r", Rule("short", "path: {value: /a}") + "," +
                                  Rule("long", "path: {value: /a/b/c}") + "," +
                                  Rule("regex", "path: {type: RegularExpression, value: '/.*'}") +
                                  "," + Rule("exact", "path: {type: Exact, value: /a}")))),
      ElementsAre("*: exact regex long short"));
}

TEST(RoutesTest, ThenAMethodThenHeadersThenQueryParameters) {
  EXPECT_THAT(
      Order(Routes(Route(
          "r", Rule("plain", "path: {value: /}") + "," +
                   Rule("query", "queryParams: [{name: a, value: '1'}]") + "," +
                   Rule("header", "headers: [{name: a, value: '1'}]") + "," +
                   Rule("headers", "headers: [{name: a, value: '1'}, {name: b, value: '1'}]") +
                   "," + Rule("method", "method: GET")))),
      ElementsAre("*: method headers header query plain"));
}

TEST(RoutesTest, ThenTheOlderRouteThenTheFirstByNameThenAsWritten) {
  EXPECT_THAT(
      Order(Routes(Route("a", Rule("young", ""), "2024-02-01T00:00:00Z") +
                   Route("b", Rule("old", ""), "2024-01-01T00:00:00Z") +
                   Route("d", Rule("d1", "") + "," + Rule("d2", "")) + Route("c", Rule("c1", "")))),
      ElementsAre("*: old young c1 d1 d2"));
}

TEST(RoutesTest, TheMostSpecificHostnameComesFirst) {
  EXPECT_THAT(Order(Routes(Route("wild", Rule("w", "path: {value: /longest}"), "", "'*.b'") +
                           Route("exact", Rule("e", ""), "", "a.b") +
                           Route("wilder", Rule("v", ""), "", "'*.a.b'") +
                           Route("all", Rule("all", "path: {type: Exact, value: /x}")))),
              ElementsAre("*.a.b: v w all", "*.b: w all", "a.b: e w all", "*: all"));
}

TEST(RoutesTest, OtherHostsGoToTheServiceItselfUnlessARouteIsForAll) {
  EXPECT_THAT(Order(Routes(Route("r", Rule("x", ""), "", "a.b"))),
              ElementsAre("a.b: x", "*: default"));
  EXPECT_THAT(Order(Routes(Route("r", Rule("x", "path: {value: /x}")))), ElementsAre("*: x"));
}

TEST(RoutesTest, ARuleWithoutMatchesTakesEverythingAndEachMatchIsARoute) {
  const route::RouteConfiguration routes =
      Routes(Route("r",
                   "{name: all, backendRefs: [{name: web, port: 80}]}, {name: two, matches: "
                   "[{path: {value: /a}}, {path: {value: /b}}], backendRefs: [{name: web, "
                   "port: 80}]}"));
  EXPECT_THAT(Order(routes), ElementsAre("*: two two all"));
  EXPECT_EQ(routes.virtual_hosts(0).routes(2).match().prefix(), "/");
  EXPECT_EQ(routes.virtual_hosts(0).routes(0).match().path_separated_prefix(), "/a");
}

TEST(RoutesTest, APrefixIsReplacedAsTheGatewayApisTableSays) {
  const auto rewrite = [](const std::string& prefix, const std::string& with) {
    return Routes(Route("r", "{matches: [{path: {value: " + prefix +
                                 "}}], filters: [{type: URLRewrite, urlRewrite: {path: {type: "
                                 "ReplacePrefixMatch, replacePrefixMatch: '" +
                                 with + "'}}}], backendRefs: [{name: web, port: 80}]}"))
        .virtual_hosts(0)
        .routes(0)
        .route();
  };
  EXPECT_EQ(rewrite("/a", "/b").prefix_rewrite(), "/b");
  EXPECT_EQ(rewrite("/a/", "/b/").prefix_rewrite(), "/b");
  EXPECT_EQ(rewrite("/a", "/").regex_rewrite().substitution(), "/");
  EXPECT_EQ(rewrite("/a", "").regex_rewrite().pattern().regex(), "^\\/a/*");
  EXPECT_EQ(rewrite("/", "/b").regex_rewrite().substitution(), "/b/");
}

TEST(RoutesTest, ARuleWithoutBackendsAnswers500) {
  for (const char* backends : {"", ", backendRefs: [{name: web, port: 80, weight: 0}]"}) {
    const route::Route one =
        Routes(Route("r", absl::StrCat("{name: x", backends, "}"))).virtual_hosts(0).routes(0);
    EXPECT_EQ(one.direct_response().status(), 500);
    EXPECT_THAT(one.direct_response().body().inline_string(), HasSubstr("HTTPRoute/default/r/x"));
  }
}

}  // namespace
}  // namespace countersign::control::compile
