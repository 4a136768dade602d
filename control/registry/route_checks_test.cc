// What is refused of routes and policies, with file, line and field.
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "control/registry/file/resource_loader.h"
#include "control/registry/model.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::control::registry {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

std::vector<std::string> Load(const std::string& yaml) {
  std::vector<ConfigError> errors;
  LoadResources("f.yaml", yaml, {}, &errors);
  std::vector<std::string> all;
  for (const ConfigError& error : errors) {
    all.push_back(error.ToString());
  }
  return all;
}
// The only error, without file and resource; empty if there is none.
std::string Why(const std::string& yaml) {
  const std::vector<std::string> errors = Load(yaml);
  if (errors.empty()) {
    return "";
  }
  const size_t field = errors[0].find(": spec");
  return errors.size() > 1 ? absl::StrCat("several: ", errors[0], " | ", errors[1])
                           : errors[0].substr(field == std::string::npos ? 0 : field + 2);
}

std::string HttpRoute(const std::string& rule, const std::string& rest = "") {
  return "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r}\nspec:\n"
         "  parentRefs: [{kind: Service, name: web}]\n" +
         rest + "  rules:\n  - " + rule + "\n";
}
std::string Filter(const std::string& filter) {
  return HttpRoute("{filters: [" + filter + "], backendRefs: [{name: web, port: 80}]}");
}
std::string GrpcRoute(const std::string& rule) {
  return "apiVersion: gateway.networking.k8s.io/v1\nkind: GRPCRoute\nmetadata: {name: r}\nspec:\n"
         "  parentRefs: [{kind: Service, name: web}]\n  rules: [" +
         rule + "]\n";
}
std::string Policy(const std::string& spec) {
  return "apiVersion: countersign.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: p}\nspec:\n"
         "  targetRef: {name: web}\n  " +
         spec + "\n";
}

TEST(RouteChecksTest, AnErrorSaysWhereItIs) {
  EXPECT_THAT(
      Load(HttpRoute("{backendRefs: [{name: web, port: 80},\n      {name: web, port: 0}]}")),
      ElementsAre("f.yaml:8:25: HTTPRoute/default/r: spec.rules[0].backendRefs[1].port: is "
                  "0; a port is 1 to 65535"));
  EXPECT_THAT(Load(HttpRoute("{matches: [{path: {type: Prefix}}]}")),
              ElementsAre(AllOf(HasSubstr("f.yaml:7:30: HTTPRoute/default/r: "
                                          "spec.rules[0].matches[0].path.type: must be one of "
                                          "PathPrefix, Exact, RegularExpression, not `Prefix`"))));
  EXPECT_THAT(Load(HttpRoute("{backendRef: []}")),
              ElementsAre(HasSubstr("unknown field; did you mean `backendRefs`?")));
}

TEST(RouteChecksTest, WhatTheGatewayApiAllowsPasses) {
  EXPECT_EQ(Why(HttpRoute("{}")), "");
  EXPECT_EQ(Why(HttpRoute("{matches: [{path: {type: Exact, value: /a}, method: GET, headers: "
                          "[{name: A, value: b}], queryParams: [{name: q, value: v}]}], "
                          "backendRefs: [{name: web, port: 80, weight: 0}], timeouts: {request: "
                          "0s}, retry: {codes: [500], attempts: 0, backoff: 1ms}}",
                          "  hostnames: [a.example, '*.b.example']\n")),
            "");
  EXPECT_EQ(Why(GrpcRoute("{matches: [{method: {service: a.B, method: C}}]}")), "");
}

TEST(RouteChecksTest, ParentsAreServices) {
  const auto parent = [](const std::string& ref) {
    std::string yaml = HttpRoute("{}");
    yaml.replace(yaml.find("{kind: Service, name: web}"), 26, ref);
    return Why(yaml);
  };
  EXPECT_THAT(parent("{kind: Gateway, name: g}"),
              HasSubstr("spec.parentRefs[0].kind: must be Service: no Gateways are served"));
  EXPECT_EQ(parent("{kind: Service, name: web, namespace: other}"), "");
  EXPECT_THAT(parent("{kind: Service, name: web, namespace: O}"),
              HasSubstr("parentRefs[0].namespace: must be lowercase"));
  EXPECT_THAT(parent("{kind: Service, name: web, group: apps}"), HasSubstr("must be empty"));
  EXPECT_THAT(parent("{kind: Service}"), HasSubstr("parentRefs[0].name: is required"));
  EXPECT_THAT(parent("{kind: Service, name: web, port: 70000}"), HasSubstr("a port is 1 to 65535"));
  EXPECT_THAT(
      Why("apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r}\n"),
      HasSubstr("spec.parentRefs: needs the Service"));
}

TEST(RouteChecksTest, BackendsAreServices) {
  const auto backend = [](const std::string& ref) {
    return Why(HttpRoute("{backendRefs: [" + ref + "]}"));
  };
  EXPECT_EQ(backend("{name: a, port: 80, namespace: other}"), "");
  EXPECT_THAT(backend("{name: a, port: 80, namespace: O}"),
              HasSubstr("backendRefs[0].namespace: must be lowercase"));
  EXPECT_THAT(backend("{name: a, port: 80, kind: Bucket}"), HasSubstr("kind: must be Service"));
  EXPECT_THAT(backend("{name: a}"), HasSubstr("port: is 0"));
  EXPECT_THAT(backend("{name: A, port: 80}"), HasSubstr("name: must be lowercase"));
  EXPECT_THAT(backend("{name: a, port: 80, weight: 2000000}"), HasSubstr("weight: is 2000000"));
  EXPECT_THAT(backend("{name: a, port: 80, filters: [{type: URLRewrite, urlRewrite: {}}]}"),
              HasSubstr("filters[0].type: must be RequestHeaderModifier or"));
}

TEST(RouteChecksTest, MatchesAreChecked) {
  const auto match = [](const std::string& text) {
    return Why(HttpRoute("{matches: [" + text + "]}"));
  };
  EXPECT_THAT(match("{path: {value: a}}"), HasSubstr("path.value: must begin with `/`"));
  EXPECT_THAT(match("{path: {type: Exact}}"), HasSubstr("path.value: is required by Exact"));
  EXPECT_THAT(match("{path: {type: RegularExpression, value: '('}}"),
              HasSubstr("is no regular expression of RE2: missing )"));
  EXPECT_THAT(match("{path: {type: RegularExpression, value: '(abc){900}'}}"),
              HasSubstr("use fewer or smaller repetitions"));
  EXPECT_THAT(match("{method: 'A B'}"), HasSubstr("method: is no method"));
  EXPECT_THAT(match("{headers: [{name: 'a b', value: x}]}"), HasSubstr("headers[0].name"));
  EXPECT_THAT(match("{headers: [{name: a, type: RegularExpression, value: '['}]}"),
              HasSubstr("headers[0].value: is no regular expression"));
  EXPECT_THAT(match("{headers: [{name: a, value: \"x\\ny\"}]}"), HasSubstr("is no value"));
  EXPECT_THAT(match("{queryParams: [{value: x}]}"), HasSubstr("queryParams[0].name"));
  EXPECT_THAT(Why(HttpRoute("{}", "  hostnames: [UPPER.example]\n")),
              HasSubstr("hostnames[0]: must be a host name in lowercase"));
  EXPECT_THAT(Why(HttpRoute("{}", "  hostnames: [a.b, a.b]\n")), HasSubstr("stands twice"));
}

TEST(RouteChecksTest, FiltersAreWhatTheirTypeSays) {
  EXPECT_THAT(Why(Filter("{urlRewrite: {}}")), HasSubstr("several"));
  EXPECT_THAT(Why(Filter("{type: URLRewrite}")), HasSubstr("urlRewrite: is required by the type"));
  EXPECT_THAT(Why(Filter("{type: URLRewrite, urlRewrite: {}, requestMirror: {backendRef: {name: a, "
                         "port: 1}}}")),
              HasSubstr("requestMirror: does not belong to this type"));
  EXPECT_THAT(Why(Filter("{type: URLRewrite, urlRewrite: {}}, {type: URLRewrite, urlRewrite: {}}")),
              HasSubstr("filters[1].type: stands twice in the rule"));
  EXPECT_THAT(Why(Filter("{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath}}}")),
              HasSubstr("replaceFullPath: must begin"));
  EXPECT_THAT(Why(Filter("{type: URLRewrite, urlRewrite: {path: {type: ReplaceFullPath, "
                         "replaceFullPath: /a, replacePrefixMatch: /b}}}")),
              HasSubstr("replacePrefixMatch: does not belong to this type"));
  EXPECT_THAT(Why(HttpRoute("{matches: [{path: {type: Exact, value: /a}}], filters: [{type: "
                            "URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, "
                            "replacePrefixMatch: /b}}}]}")),
              HasSubstr("ReplacePrefixMatch needs matches by PathPrefix alone"));
  EXPECT_THAT(Why(Filter("{type: RequestRedirect, requestRedirect: {}}")),
              HasSubstr("backendRefs: has no effect beside RequestRedirect"));
  EXPECT_THAT(Why(HttpRoute("{filters: [{type: RequestRedirect, requestRedirect: {statusCode: "
                            "200}}]}")),
              HasSubstr("statusCode: must be 301"));
  EXPECT_THAT(
      Why(HttpRoute("{filters: [{type: RequestRedirect, requestRedirect: {scheme: ftp}}]}")),
      HasSubstr("scheme: must be http or https"));
  EXPECT_THAT(Why(Filter("{type: RequestMirror, requestMirror: {backendRef: {name: a, port: 1}, "
                         "percent: 5, fraction: {numerator: 1}}}")),
              HasSubstr("fraction: cannot stand beside percent"));
  EXPECT_THAT(Why(Filter("{type: RequestMirror, requestMirror: {backendRef: {name: a, port: 1}, "
                         "percent: 101}}")),
              HasSubstr("percent: is 101"));
  for (const char* name : {"Host", ":path", "content-length", "x-forwarded-client-cert"}) {
    EXPECT_THAT(
        Why(Filter(absl::StrCat("{type: RequestHeaderModifier, requestHeaderModifier: {set: "
                                "[{name: '",
                                name, "', value: x}]}}"))),
        HasSubstr("requestHeaderModifier.set[0].name: "))
        << name;
  }
  EXPECT_THAT(Why(GrpcRoute("{filters: [{type: URLRewrite, urlRewrite: {}}]}")),
              HasSubstr("is no filter of a GRPCRoute"));
}

TEST(RouteChecksTest, TimesAndRetriesAreBounded) {
  EXPECT_THAT(Why(HttpRoute("{timeouts: {request: 1s, backendRequest: 2s}}")),
              HasSubstr("backendRequest: is longer than request"));
  EXPECT_THAT(Why(HttpRoute("{timeouts: {request: 48h}}")), HasSubstr("must be between 0 and 24h"));
  EXPECT_THAT(Why(HttpRoute("{retry: {codes: [200]}}")), HasSubstr("codes[0]: is 200"));
  EXPECT_THAT(Why(HttpRoute("{retry: {attempts: 100}}")), HasSubstr("attempts: is 100"));
  EXPECT_THAT(Why(GrpcRoute("{matches: [{method: {}}]}")), HasSubstr("needs service or method"));
  EXPECT_THAT(Why(GrpcRoute("{matches: [{method: {service: a/b}}]}")),
              HasSubstr("is no name of a gRPC service"));
}

TEST(RouteChecksTest, PoliciesAreChecked) {
  EXPECT_EQ(Why(Policy("timeout: 1s")), "");
  const struct {
    const char* spec;
    const char* why;
  } cases[] = {
      {"loadBalancer: {simple: FASTEST}", "simple: must be one of UNSPECIFIED, LEAST_REQUEST"},
      {"loadBalancer: {consistentHash: {}}", "needs exactly one of httpHeaderName"},
      {"loadBalancer: {simple: RANDOM, consistentHash: {useSourceIp: true}}",
       "consistentHash: cannot stand beside simple"},
      {"loadBalancer: {consistentHash: {useSourceIp: true, maglev: {tableSize: 1000}}}",
       "tableSize: must be a prime"},
      {"loadBalancer: {consistentHash: {useSourceIp: true, maglev: {}, ringHash: {}}}",
       "maglev: cannot stand beside ringHash"},
      {"loadBalancer: {consistentHash: {httpCookie: {name: 'a b'}}}", "httpCookie.name"},
      {"loadBalancer: {localityLbSetting: {priority: [a, a]}}", "priority[1]: stands twice"},
      {"loadBalancer: {localityLbSetting: {priority: [a/b/c/d]}}", "priority[0]: must be `region`"},
      {"loadBalancer: {simple: RANDOM, warmupDurationSecs: 1s}", "has no effect unless simple"},
      {"connectionPool: {tcp: {maxConnections: 0}}", "maxConnections: is 0"},
      {"connectionPool: {tcp: {connectTimeout: 1h}}",
       "connectTimeout: must be between 1ms and 10m"},
      {"connectionPool: {http: {http2MaxRequests: 0}}", "http2MaxRequests: is 0"},
      {"outlierDetection: {maxEjectionPercent: 101}", "maxEjectionPercent: must be 0 to 100"},
      {"outlierDetection: {interval: 0s}", "interval: must be between 1ms"},
      {"healthChecks: [{}]", "healthChecks[0]: needs exactly one of http, grpc, tcp"},
      {"healthChecks: [{http: {path: x}}]", "http.path: must begin"},
      {"retries: {retryOn: 'always'}", "`always` is no condition; there are: 5xx"},
      {"retries: {retryOn: '200'}", "retryOn: is 200"},
      {"retries: {attempts: 21}", "attempts: is 21"},
      {"fault: {abort: {percentage: {value: 1}}}", "needs one of httpStatus and grpcStatus"},
      {"fault: {abort: {httpStatus: 99}}", "httpStatus: is 99"},
      {"fault: {delay: {percentage: {value: 100.5}, fixedDelay: 1s}}", "must be 0 to 100"},
      {"fault: {delay: {percentage: {value: x}, fixedDelay: 1s}}", "must be a number, not `x`"},
      {"timeout: 25h", "timeout: must be between 0 and 24h"},
  };
  for (const auto& one : cases) {
    EXPECT_THAT(Why(Policy(one.spec)), HasSubstr(one.why)) << one.spec;
  }
  EXPECT_THAT(Why("apiVersion: countersign.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: p}\n"
                  "spec: {targetRef: {kind: Pod, name: web}}\n"),
              HasSubstr("spec.targetRef.kind: must be Service"));
}

TEST(RouteChecksTest, MeshSettingsOfHttpAreChecked) {
  const auto mesh = [](const std::string& spec) {
    return Why("apiVersion: countersign.dev/v1alpha1\nkind: Mesh\nmetadata: {name: m}\nspec: {" +
               spec + "}\n");
  };
  EXPECT_EQ(mesh("http: {mergeSlashes: false, escapedSlashes: KEEP, idleTimeout: 1m}"), "");
  EXPECT_THAT(mesh("http: {streamIdleTimeout: 0s}"), HasSubstr("must be between 1ms"));
  EXPECT_THAT(mesh("http: {maxRequestHeadersKb: 5000}"), HasSubstr("is 5000"));
  EXPECT_THAT(mesh("tracing: {randomSamplingPercentage: 101}"), HasSubstr("must be 0 to 100"));
}

// --- against each other ---

std::vector<std::string> Build(const std::vector<std::string>& files,
                               std::shared_ptr<const Model>* model = nullptr) {
  std::vector<std::vector<Resource>> loaded;
  for (size_t i = 0; i < files.size(); ++i) {
    std::vector<ConfigError> errors;
    loaded.push_back(LoadResources(absl::StrCat(i, ".yaml"), files[i], {}, &errors));
    EXPECT_THAT(errors, IsEmpty()) << errors[0].ToString();
  }
  std::vector<const Resource*> resources;
  for (const auto& file : loaded) {
    for (const Resource& resource : file) {
      resources.push_back(&resource);
    }
  }
  std::vector<ConfigError> errors;
  const auto built = Model::Build(resources, 1, absl::UnixEpoch(), &errors);
  if (model != nullptr) {
    *model = built;
  }
  std::vector<std::string> all;
  for (const ConfigError& error : errors) {
    all.push_back(error.ToString());
  }
  return all;
}
std::string Service(const std::string& port) {
  return "apiVersion: v1\nkind: Service\nmetadata: {name: web}\nspec: {clusterIP: 10.96.0.1, "
         "ports: [" +
         port + "]}\n";
}
std::string RouteTo(const std::string& port) {
  return "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r}\nspec:\n"
         "  parentRefs: [{kind: Service, name: web" +
         port + "}]\n";
}

TEST(RouteModelTest, HttpRulesOnATcpPortAreRefusedAndTheLaterOneIsToBlame) {
  EXPECT_THAT(Build({Service("{name: tcp-x, port: 80}"), RouteTo(", port: 80")}),
              ElementsAre("1.yaml:1:1: HTTPRoute/default/r: spec.parentRefs[0]: "
                          "Service/default/web (0.yaml:1) does not have port 80 that carries HTTP: "
                          "it is declared TCP by its name or appProtocol"));
  EXPECT_THAT(Build({RouteTo(""), Service("{name: tcp-x, port: 80}")}),
              ElementsAre("1.yaml:1:1: Service/default/web: spec.ports: HTTPRoute/default/r "
                          "(0.yaml:1) needs a port that carries HTTP: it is declared TCP by its "
                          "name or appProtocol"));
  EXPECT_THAT(Build({Service("{name: x, port: 80}"), RouteTo(", port: 81")}),
              ElementsAre(HasSubstr("does not have port 81 for TCP")));
  EXPECT_THAT(Build({Service("{name: x, port: 80}"), RouteTo(", sectionName: other")}),
              ElementsAre(HasSubstr("does not have a port named other for TCP")));
  EXPECT_THAT(Build({Service("{name: x, port: 80}"), RouteTo(", sectionName: x")}), IsEmpty());
  EXPECT_THAT(Build({RouteTo(", port: 80")}), IsEmpty());  // no such Service yet
}

TEST(RouteModelTest, APolicyForThePortBeatsAnOlderOneForTheService) {
  const auto policy = [](const std::string& name, const std::string& created,
                         const std::string& target) {
    return "---\napiVersion: countersign.dev/v1alpha1\nkind: TrafficPolicy\nmetadata: {name: " +
           name + ", creationTimestamp: \"" + created + "\"}\nspec: {targetRef: {name: web" +
           target + "}}\n";
  };
  std::shared_ptr<const Model> model;
  EXPECT_THAT(Build({Service("{name: http, port: 80}, {name: http-b, port: 90}, {port: 70}"),
                     policy("young", "2024-02-01T00:00:00Z", "") +
                         policy("old", "2024-01-01T00:00:00Z", "") +
                         policy("port", "2024-03-01T00:00:00Z", ", port: 90") +
                         policy("named", "2024-03-01T00:00:00Z", ", sectionName: http")},
                    &model),
              IsEmpty());
  const registry::Service& service = *model->FindService("default/web");
  EXPECT_EQ(model->PolicyOf(service, *service.FindPort(80))->name, "named");
  EXPECT_EQ(model->PolicyOf(service, *service.FindPort(90))->name, "port");
  EXPECT_EQ(model->PolicyOf(service, *service.FindPort(70))->name, "old");
}

TEST(RouteModelTest, PortsSpeakWhatTheirNameOrAppProtocolSays) {
  using P = PortProtocol;
  const struct {
    const char* name;
    const char* app;
    P expected;
  } cases[] = {
      {"http", "", P::kHttp1},
      {"http-web", "", P::kHttp1},
      {"http2", "", P::kHttp2},
      {"grpc-api", "", P::kHttp2},
      {"grpc-web", "", P::kHttp2},
      {"tcp", "", P::kTcp},
      {"https", "", P::kTcp},
      {"redis-1", "", P::kTcp},
      {"web", "", P::kAuto},
      {"", "", P::kAuto},
      {"httpx", "", P::kAuto},
      {"tcp", "http", P::kHttp1},
      {"http", "tcp", P::kTcp},
      {"http", "example.com/mine", P::kAuto},
      {"", "kubernetes.io/h2c", P::kHttp2},
      {"", "kubernetes.io/ws", P::kHttp1},
      {"", "kubernetes.io/wss", P::kTcp},
      {"", "GRPC", P::kHttp2},
  };
  for (const auto& one : cases) {
    EXPECT_EQ(ProtocolOf(one.name, one.app), one.expected) << one.name << " " << one.app;
  }
}

TEST(RouteChecksTest, AGrantSaysFromWhereAndToWhat) {
  const auto grant = [](const std::string& version, const std::string& spec) {
    return Why("apiVersion: gateway.networking.k8s.io/" + version +
               "\nkind: ReferenceGrant\nmetadata: {name: g}\nspec: " + spec + "\n");
  };
  const std::string from = "from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, ";
  for (const char* version : {"v1", "v1beta1"}) {
    EXPECT_EQ(grant(version, "{" + from + "namespace: a}], to: [{group: '', kind: Service}]}"), "");
  }
  EXPECT_THAT(grant("v1alpha2", "{}"), HasSubstr("is no kind that we read"));
  EXPECT_THAT(grant("v1", "{" + from + "namespace: a}]}"), HasSubstr("spec.to: needs an entry"));
  EXPECT_THAT(grant("v1", "{to: [{kind: Service}]}"), HasSubstr("spec.from: needs an entry"));
  EXPECT_THAT(grant("v1", "{" + from + "}], to: [{kind: Service}]}"),
              HasSubstr("spec.from[0].namespace: is required"));
  EXPECT_THAT(grant("v1", "{" + from + "namespace: a}], to: [{kind: Service, name: A}]}"),
              HasSubstr("spec.to[0].name: must be lowercase"));
}

std::string RouteTo(const std::string& ns, const std::string& parent_ns, const std::string& to) {
  return "---\napiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {name: r, "
         "namespace: " +
         ns + "}\nspec:\n  parentRefs: [{kind: Service, name: web, namespace: " + parent_ns +
         "}]\n  rules: [{backendRefs: [{name: web, port: 80}, {name: db, port: 80, namespace: " +
         to + "}]}]\n";
}
std::string GrantIn(const std::string& ns, const std::string& kind, const std::string& from,
                    const std::string& to) {
  return "---\napiVersion: gateway.networking.k8s.io/v1beta1\nkind: ReferenceGrant\nmetadata: "
         "{name: g, namespace: " +
         ns + "}\nspec:\n  from: [{group: gateway.networking.k8s.io, kind: " + kind +
         ", namespace: " + from + "}]\n  to: [" + to + "]\n";
}
// Of the only reference without a grant, field and reason; empty if there is none.
std::string Ungranted(const std::string& yaml) {
  std::shared_ptr<const Model> model;
  EXPECT_THAT(Build({yaml}, &model), IsEmpty());
  if (model == nullptr || model->ungranted().empty()) {
    return "";
  }
  EXPECT_EQ(model->ungranted().size(), 1);
  EXPECT_TRUE(model->ungranted()[0].in_force);
  return absl::StrCat(model->ungranted()[0].field, ": ", model->ungranted()[0].reason);
}

TEST(RouteModelTest, AReferenceToAnotherNamespaceNeedsAGrantThere) {
  const std::string route = RouteTo("a", "a", "b");
  EXPECT_EQ(Ungranted(route),
            "spec.rules[0].backendRefs[1].namespace: Service/b/db is in another namespace, and no "
            "ReferenceGrant there allows it: add one to b with from {group: "
            "gateway.networking.k8s.io, kind: HTTPRoute, namespace: a} and to {kind: Service, "
            "name: db}; until then 500 is answered");
  EXPECT_EQ(Ungranted(route + GrantIn("b", "HTTPRoute", "a", "{kind: Service}")), "");
  EXPECT_EQ(Ungranted(route + GrantIn("b", "HTTPRoute", "a", "{kind: Service, name: db}")), "");
  for (const std::string& other : {
           GrantIn("b", "HTTPRoute", "a", "{kind: Service, name: db-2}"),
           GrantIn("b", "HTTPRoute", "a", "{kind: Secret}"),
           GrantIn("b", "HTTPRoute", "a", "{kind: Service, group: apps}"),
           GrantIn("b", "HTTPRoute", "c", "{kind: Service}"),
           GrantIn("b", "GRPCRoute", "a", "{kind: Service}"),
           GrantIn("c", "HTTPRoute", "a", "{kind: Service}"),
           GrantIn("a", "HTTPRoute", "b", "{kind: Service}"),
       }) {
    EXPECT_NE(Ungranted(route + other), "") << other;
  }
}

TEST(RouteModelTest, WhereRequestsWentAnywayNeedsNoGrant) {
  EXPECT_EQ(Ungranted(RouteTo("a", "b", "b")), "");
  EXPECT_NE(Ungranted(RouteTo("a", "b", "c")), "");
}

TEST(RouteModelTest, AConsumersRouteIsHeldAgainstThePortsOfItsParent) {
  std::shared_ptr<const Model> model;
  EXPECT_THAT(Build({"apiVersion: v1\nkind: Service\nmetadata: {name: web, namespace: b}\nspec: "
                     "{ports: [{port: 80, name: tcp}]}\n" +
                     RouteTo("a", "b", "b")},
                    &model),
              ElementsAre(HasSubstr("declared TCP")));
}

TEST(RouteModelTest, ServicesOfAWorkloadAreFoundByTheirSelectors) {
  std::shared_ptr<const Model> model;
  EXPECT_THAT(
      Build({"apiVersion: countersign.dev/v1alpha1\nkind: ExternalWorkload\nmetadata: {name: w, "
             "labels: {app: a, tier: b}}\nspec: {addresses: [10.0.0.1]}\n---\n"
             "apiVersion: v1\nkind: Service\nmetadata: {name: two}\nspec: {selector: {tier: b, "
             "app: a}}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: one}\nspec: "
             "{selector: {tier: b}}\n---\napiVersion: v1\nkind: Service\nmetadata: {name: none}"
             "\nspec: {selector: {app: a, x: c}}\n---\napiVersion: v1\nkind: Service\nmetadata: "
             "{name: far, namespace: other}\nspec: {selector: {app: a}}\n"},
            &model),
      IsEmpty());
  const auto services = model->ServicesOf(*model->FindWorkload("default/w"));
  ASSERT_EQ(services.size(), 2);
  EXPECT_EQ(services[0]->name, "one");
  EXPECT_EQ(services[1]->name, "two");
}

}  // namespace
}  // namespace countersign::control::registry
