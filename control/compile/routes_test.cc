// The Gateway API's order of precedence, and where requests go that no rule is about.
#include "control/compile/routes.h"

#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/compile/test_model.h"
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

route::RouteConfiguration Routes(const std::string& yaml, const std::string& caller_ns = "") {
  const auto model = TestModel(
      absl::StrCat("apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {clusterIP: "
                   "10.96.0.1, ports: [{name: http, port: 80}]}\n",
                   yaml));
  route::RouteConfiguration out;
  if (model != nullptr) {
    const registry::Service& service = *model->FindService("default/web");
    FillServiceRoutes(*model,
                      {.service = service,
                       .port = service.ports[0],
                       .cluster = "service/default/web:80/v4",
                       .caller_ns = caller_ns},
                      &out);
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

// A route of `ns` for default/web that sends everything to backends.
std::string RouteOf(const std::string& ns, const std::string& backends) {
  return absl::StrCat(
      "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: ",
      "{name: r, namespace: ", ns, "}\nspec:\n  parentRefs: [{kind: Service, name: ",
      "web, namespace: default}]\n  rules: [{name: of-", ns, ", backendRefs: [", backends, "]}]\n");
}
std::string Grant(const std::string& from, const std::string& to) {
  return absl::StrCat("---\napiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\n",
                      "metadata: {name: g, namespace: far}\nspec:\n  from: [{group: ",
                      "gateway.networking.k8s.io, kind: HTTPRoute, namespace: ", from,
                      "}]\n  to: [{group: \"\", kind: Service", to, "}]\n");
}

TEST(RoutesTest, ConsumersRoutesAreForCallersOfTheirNamespaceInPlaceOfTheProducers) {
  const std::string web = "{name: web, namespace: default, port: 80}";
  const std::string both = RouteOf("default", web) + RouteOf("shop", web);
  EXPECT_THAT(Order(Routes(both)), ElementsAre("*: of-default"));
  EXPECT_THAT(Order(Routes(both, "default")), ElementsAre("*: of-default"));
  EXPECT_THAT(Order(Routes(both, "elsewhere")), ElementsAre("*: of-default"));
  EXPECT_THAT(Order(Routes(both, "shop")), ElementsAre("*: of-shop"));
  EXPECT_THAT(Order(Routes(RouteOf("shop", web))), ElementsAre("*: default"));
}

TEST(RoutesTest, ConsumersRoutesGoToTheirOwnServicesOrTheParents) {
  EXPECT_EQ(Routes(RouteOf("shop", "{name: web, port: 80}"), "shop")
                .virtual_hosts(0)
                .routes(0)
                .route()
                .cluster(),
            "service/shop/web:80/v4");
  EXPECT_EQ(Routes(RouteOf("shop", "{name: other, namespace: default, port: 80}"), "shop")
                .virtual_hosts(0)
                .routes(0)
                .route()
                .cluster(),
            "service/default/other:80/v4");
}

TEST(RoutesTest, WithoutAGrantABackendOfAnotherNamespaceIsAnsweredWith500AndTheCure) {
  const std::string far = "{name: db, namespace: far, port: 80}";
  const auto first = [](const std::string& yaml) {
    return Routes(yaml).virtual_hosts(0).routes(0);
  };
  for (const std::string& grant :
       {std::string(), Grant("elsewhere", ""), Grant("default", ", name: other")}) {
    const route::Route refused = first(RouteOf("default", far) + grant);
    EXPECT_EQ(refused.direct_response().status(), 500) << grant;
    EXPECT_THAT(refused.direct_response().body().inline_string(),
                HasSubstr("add one to far with from {group: gateway.networking.k8s.io, kind: "
                          "HTTPRoute, namespace: default} and to {kind: Service, name: db}"));
  }
  for (const std::string& grant : {Grant("default", ""), Grant("default", ", name: db")}) {
    EXPECT_EQ(first(RouteOf("default", far) + grant).route().cluster(), "service/far/db:80/v4");
  }
}

TEST(RoutesTest, TheShareOfABackendWithoutAGrantGoesToNobodyElse) {
  const route::Route one = Routes(RouteOf("default",
                                          "{name: web, port: 80, weight: 9}, {name: db, "
                                          "namespace: far, port: 80, weight: 1}"))
                               .virtual_hosts(0)
                               .routes(0);
  ASSERT_EQ(one.route().weighted_clusters().clusters_size(), 2);
  EXPECT_EQ(one.route().weighted_clusters().clusters(0).weight().value(), 9);
  EXPECT_EQ(one.route().weighted_clusters().clusters(1).name(), "ungranted/far/db:80/v4");
  EXPECT_EQ(one.route().weighted_clusters().clusters(1).weight().value(), 1);
}

TEST(RoutesTest, AMirrorWithoutAGrantGetsNothing) {
  const std::string rule =
      "{filters: [{type: RequestMirror, requestMirror: {backendRef: {name: db, namespace: far, "
      "port: 80}}}], backendRefs: [{name: web, port: 80}]}";
  EXPECT_EQ(
      Routes(Route("r", rule)).virtual_hosts(0).routes(0).route().request_mirror_policies_size(),
      0);
  EXPECT_EQ(Routes(Route("r", rule) + Grant("default", ""))
                .virtual_hosts(0)
                .routes(0)
                .route()
                .request_mirror_policies(0)
                .cluster(),
            "service/far/db:80/v4");
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
