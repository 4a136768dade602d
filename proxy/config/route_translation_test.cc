// What the proxy takes of routes, and how it refuses the rest.
#include "proxy/config/route_translation.h"

#include <string>

#include "absl/strings/str_cat.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace countersign::config {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;
namespace route = ::envoy::config::route::v3;

// RouteConfigurations in protobuf's text, of which a test writes the part that matters.
absl::StatusOr<std::shared_ptr<const RouteConfiguration>> Translate(const std::string& text) {
  route::RouteConfiguration message;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &message)) << text;
  return TranslateRoutes(message, "routes `r`");
}
std::string Host(const std::string& routes) {
  return "name: \"r\" virtual_hosts { name: \"h\" domains: \"*\" " + routes + "}";
}
std::string OfMatch(const std::string& match) {
  return Host("routes { match {" + match + "} route { cluster: \"c\" } }");
}
std::string OfAction(const std::string& action, const std::string& rest = "") {
  return Host("routes { match { prefix: \"/\" } route {" + action + "}" + rest + "}");
}

// The sentence; empty if it passes.
std::string Why(const std::string& text) {
  const auto routes = Translate(text);
  return routes.ok() ? "" : std::string(routes.status().message());
}
Route One(const std::string& text) {
  const auto routes = Translate(text);
  EXPECT_TRUE(routes.ok()) << routes.status();
  return routes.ok() ? (*routes)->virtual_hosts.at(0).routes.at(0) : Route();
}

TEST(RouteTranslationTest, PathsAreMatchedInFourWays) {
  EXPECT_EQ(One(OfMatch("prefix: \"/a\"")).match.path.kind, PathMatch::Kind::kPrefix);
  EXPECT_EQ(One(OfMatch("prefix: \"\"")).match.path.text, "/");
  EXPECT_EQ(One(OfMatch("path: \"/a\"")).match.path.kind, PathMatch::Kind::kExact);
  EXPECT_EQ(One(OfMatch("path_separated_prefix: \"/a\"")).match.path.kind,
            PathMatch::Kind::kPathPrefix);
  const PathMatch regex = One(OfMatch("safe_regex { regex: \"/a.*\" }")).match.path;
  EXPECT_TRUE(re2::RE2::FullMatch("/ab", *regex.regex));
  EXPECT_TRUE(One(OfMatch("path: \"/a\" case_sensitive { value: false }")).match.path.ignore_case);

  EXPECT_EQ(Why(OfMatch("")),
            "routes `r`.virtual_hosts[0].routes[0].match: needs prefix, path, "
            "path_separated_prefix or safe_regex");
  EXPECT_THAT(Why(OfMatch("prefix: \"a\"")), HasSubstr("match.prefix: must begin with `/`"));
  EXPECT_THAT(Why(OfMatch("path: \"/a?b\"")), HasSubstr("match.path: must begin"));
  EXPECT_THAT(Why(OfMatch("path_separated_prefix: \"/a/\"")), HasSubstr("must not end with `/`"));
  EXPECT_THAT(Why(OfMatch("safe_regex { regex: \"(\" }")),
              HasSubstr("match.safe_regex.regex: is no regular expression of RE2: missing )"));
  EXPECT_THAT(Why(OfMatch("safe_regex { regex: \"a\" } case_sensitive { value: false }")),
              HasSubstr("case_sensitive: has no effect on safe_regex"));
}

TEST(RouteTranslationTest, ExpressionsAreBounded) {
  EXPECT_THAT(Why(OfMatch("safe_regex { regex: \"" + std::string(1025, 'a') + "\" }")),
              HasSubstr("must have 1 to 1024 bytes"));
  EXPECT_THAT(Why(OfMatch("safe_regex { regex: \"((a{100}){100}){10}\" }")),
              HasSubstr("is no regular expression of RE2"));
  EXPECT_THAT(Why(OfMatch("safe_regex { regex: \"(abc){900}\" }")), HasSubstr("2000 are allowed"));
  std::string many, same;
  for (int i = 0; i < 201; ++i) {
    absl::StrAppend(&many, "routes { match { safe_regex { regex: \"/", i,
                    "\" } } route { cluster: \"c\" } }");
    absl::StrAppend(&same,
                    "routes { match { safe_regex { regex: \"/x\" } } "
                    "route { cluster: \"c\" } }");
  }
  EXPECT_THAT(Why(Host(many)), HasSubstr("one regular expression too many"));
  const auto routes = Translate(Host(same));
  ASSERT_TRUE(routes.ok()) << routes.status();
  EXPECT_EQ((*routes)->virtual_hosts[0].routes[0].match.path.regex,
            (*routes)->virtual_hosts[0].routes[200].match.path.regex);
}

TEST(RouteTranslationTest, HeadersAndQueryAreMatchedInEveryWay) {
  const Route route =
      One(OfMatch("prefix: \"/\" "
                  "headers { name: \":method\" string_match { exact: \"GET\" } } "
                  "headers { name: \"X-A\" string_match { exact: \"\" ignore_case: true } } "
                  "headers { name: \"x-b\" present_match: false } "
                  "headers { name: \"x-c\" invert_match: true prefix_match: \"p\" } "
                  "headers { name: \"Host\" suffix_match: \"s\" } "
                  "headers { name: \"x-d\" } "
                  "headers { name: \"x-e\" safe_regex_match { regex: \"r\" } } "
                  "headers { name: \"x-f\" contains_match: \"c\" } "
                  "query_parameters { name: \"q\" string_match { contains: \"c\" } } "
                  "query_parameters { name: \"p\" present_match: true } grpc {}"));
  EXPECT_EQ(route.match.method, "GET");
  EXPECT_TRUE(route.match.grpc);
  const auto& headers = route.match.headers;
  ASSERT_EQ(headers.size(), 7);
  EXPECT_EQ(headers[0].name, "x-a");
  EXPECT_TRUE(headers[0].match.ignore_case);
  EXPECT_EQ(headers[1].match.kind, StringMatch::Kind::kPresent);
  EXPECT_TRUE(headers[1].match.invert);
  EXPECT_TRUE(headers[2].match.invert);
  EXPECT_EQ(headers[3].name, ":authority");
  EXPECT_EQ(headers[3].match.kind, StringMatch::Kind::kSuffix);
  EXPECT_EQ(headers[4].match.kind, StringMatch::Kind::kPresent);
  EXPECT_EQ(headers[5].match.kind, StringMatch::Kind::kRegex);
  EXPECT_EQ(headers[6].match.kind, StringMatch::Kind::kContains);
  ASSERT_EQ(route.match.query.size(), 2);
  EXPECT_EQ(route.match.query[0].match.kind, StringMatch::Kind::kContains);

  const auto header = [](const std::string& text) {
    return Why(OfMatch("prefix: \"/\" headers {" + text + "}"));
  };
  EXPECT_THAT(header("name: \"a b\""), HasSubstr("headers[0].name: is no name of a header field"));
  EXPECT_THAT(header("name: \":status\""), HasSubstr("is no name of a header field"));
  EXPECT_THAT(header("name: \"a\" string_match {}"),
              HasSubstr("string_match: needs exact, prefix, suffix, contains or safe_regex"));
  EXPECT_THAT(header("name: \"a\" string_match { prefix: \"\" }"),
              HasSubstr("string_match.prefix: is required"));
  EXPECT_THAT(header("name: \"a\" string_match { safe_regex { regex: \"b\" } ignore_case: true }"),
              HasSubstr("ignore_case: has no effect on safe_regex"));
  EXPECT_THAT(Why(OfMatch("prefix: \"/\" query_parameters { }")),
              HasSubstr("query_parameters[0].name: is required"));
  std::string many = "prefix: \"/\"";
  for (int i = 0; i < 65; ++i) {
    many += " headers { name: \"a\" }";
  }
  EXPECT_THAT(Why(OfMatch(many)), HasSubstr("has more than 64 matchers"));
}

TEST(RouteTranslationTest, RequestsGoToClustersByWeight) {
  const Route route =
      One(OfAction("weighted_clusters { clusters { name: \"a\" weight { value: 3 } "
                   "request_headers_to_add { header { key: \"X-V\" value: \"2\" } append_action: "
                   "OVERWRITE_IF_EXISTS_OR_ADD } } clusters { name: \"b\" weight { value: 1 } } "
                   "clusters { name: \"none\" } }"));
  ASSERT_EQ(route.forward.clusters.size(), 2);
  EXPECT_EQ(route.forward.total_weight, 4);
  EXPECT_EQ(route.forward.clusters[0].request_headers.set.at(0).name, "x-v");
  EXPECT_THAT(Why(OfAction("")), HasSubstr("route: needs cluster or weighted_clusters"));
  EXPECT_THAT(Why(OfAction("cluster: \"\"")), HasSubstr("route.cluster: is required"));
  EXPECT_THAT(Why(OfAction("weighted_clusters { clusters { name: \"a\" } }")),
              HasSubstr("weighted_clusters.clusters: must have weights that add up"));
  EXPECT_THAT(Why(OfAction("weighted_clusters { clusters { weight { value: 1 } } }")),
              HasSubstr("clusters[0].name: is required"));
}

TEST(RouteTranslationTest, WhatIsSaidNothingOfIsAsEnvoyHasIt) {
  const Route route = One(OfAction("cluster: \"c\""));
  EXPECT_EQ(route.forward.timeout, milliseconds(15'000));
  EXPECT_EQ(route.forward.retry.on, 0);
  EXPECT_FALSE(route.forward.upgrade_websocket);
  EXPECT_EQ(route.forward.idle_timeout, milliseconds(0));
  // 0 says `never`, which is not the connection manager's.
  EXPECT_GT(One(OfAction("cluster: \"c\" idle_timeout {}")).forward.idle_timeout,
            std::chrono::hours(24 * 365));
  EXPECT_EQ(One(OfAction("cluster: \"c\" timeout {}")).forward.timeout, milliseconds(0));
}

TEST(RouteTranslationTest, RetriesAreReadWhole) {
  const RetryPolicy retry =
      One(OfAction("cluster: \"c\" retry_policy { retry_on: \"5xx, gateway-error,connect-failure,"
                   "refused-stream,reset,reset-before-request,retriable-4xx,retriable-status-codes,"
                   "cancelled,deadline-exceeded,internal,resource-exhausted,unavailable\" "
                   "num_retries { value: 3 } per_try_timeout { seconds: 1 } "
                   "per_try_idle_timeout { nanos: 500000000 } retriable_status_codes: 429 "
                   "retry_back_off { base_interval { nanos: 10000000 } } retry_host_predicate { "
                   "name: \"x\" typed_config { [type.googleapis.com/"
                   "envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate] {} } } "
                   "host_selection_retry_max_attempts: 5 }"))
          .forward.retry;
  EXPECT_EQ(retry.on, 8191);
  EXPECT_EQ(retry.num_retries, 3);
  EXPECT_EQ(retry.per_try_timeout, milliseconds(1000));
  EXPECT_EQ(retry.per_try_idle_timeout, milliseconds(500));
  EXPECT_THAT(retry.status_codes, ElementsAre(429));
  EXPECT_EQ(retry.backoff_base, milliseconds(10));
  EXPECT_EQ(retry.backoff_max, milliseconds(100));
  EXPECT_TRUE(retry.other_hosts);

  const auto why = [](const std::string& text) {
    return Why(OfAction("cluster: \"c\" retry_policy {" + text + "}"));
  };
  EXPECT_THAT(why("retry_on: \"always\""), HasSubstr("retry_on: `always` is not honoured"));
  EXPECT_THAT(why("num_retries { value: 21 }"), HasSubstr("num_retries: must be 0 to 20"));
  EXPECT_THAT(why("retriable_status_codes: 200"),
              HasSubstr("retriable_status_codes[0]: must be 400 to 599"));
  EXPECT_THAT(why("per_try_timeout { seconds: -1 }"), HasSubstr("per_try_timeout: must be"));
  EXPECT_THAT(why("retry_back_off {}"), HasSubstr("base_interval: must be"));
  EXPECT_THAT(why("retry_back_off { base_interval { seconds: 2 } max_interval { seconds: 1 } }"),
              HasSubstr("max_interval: must be"));
  EXPECT_THAT(why("retry_host_predicate { typed_config { "
                  "[type.googleapis.com/envoy.config.route.v3.Route] {} } }"),
              HasSubstr("`type.googleapis.com/envoy.config.route.v3.Route` is not honoured"));
}

TEST(RouteTranslationTest, AVirtualHostsRetriesAreItsRoutesUnlessTheySayOtherwise) {
  const auto routes = Translate(Host(
      "retry_policy { retry_on: \"5xx\" } routes { match { prefix: \"/a\" } route { cluster: "
      "\"c\" retry_policy { retry_on: \"reset\" } } } routes { match { prefix: \"/\" } route { "
      "cluster: \"c\" } }"));
  ASSERT_TRUE(routes.ok()) << routes.status();
  EXPECT_EQ((*routes)->virtual_hosts[0].routes[0].forward.retry.on, RetryPolicy::kReset);
  EXPECT_EQ((*routes)->virtual_hosts[0].routes[1].forward.retry.on, RetryPolicy::k5xx);
}

TEST(RouteTranslationTest, RewritesNeedWhatTheyRewrite) {
  EXPECT_EQ(One(OfAction("cluster: \"c\" prefix_rewrite: \"/x\" host_rewrite_literal: \"h:80\""))
                .forward.prefix_rewrite,
            "/x");
  // Of an exact path the match is the whole path.
  const Route exact = One(
      Host("routes { match { path: \"/a\" } route { cluster: \"c\" prefix_rewrite: \"/x\" } }"));
  EXPECT_EQ(exact.forward.path_rewrite, "/x");
  EXPECT_FALSE(exact.forward.has_prefix_rewrite);
  const Route regex =
      One(OfAction("cluster: \"c\" regex_rewrite { pattern { regex: \"^/(.*)$\" } substitution: "
                   "\"/x/\\\\1\" }"));
  EXPECT_EQ(regex.forward.substitution, "/x/\\1");
  EXPECT_THAT(Why(OfAction("cluster: \"c\" regex_rewrite { pattern { regex: \"a\" } substitution: "
                           "\"\\\\1\" }")),
              HasSubstr("regex_rewrite.substitution: Rewrite schema requests 1 matches"));
  EXPECT_THAT(Why(OfAction("cluster: \"c\" prefix_rewrite: \"/\" regex_rewrite { pattern { "
                           "regex: \"a\" } }")),
              HasSubstr("regex_rewrite: cannot stand beside prefix_rewrite"));
  EXPECT_THAT(Why(OfAction("cluster: \"c\" prefix_rewrite: \"x y\"")),
              HasSubstr("prefix_rewrite: must begin with `/`"));
  EXPECT_THAT(Why(OfAction("cluster: \"c\" host_rewrite_literal: \"a/b\"")),
              HasSubstr("host_rewrite_literal: is no host"));
  EXPECT_THAT(Why(Host("routes { match { safe_regex { regex: \"a\" } } route { cluster: \"c\" "
                       "prefix_rewrite: \"/x\" } }")),
              HasSubstr("prefix_rewrite: needs a match by prefix"));
}

TEST(RouteTranslationTest, HashKeysMirrorsAndUpgradesAreRead) {
  const ForwardAction forward =
      One(OfAction(
              "cluster: \"c\" hash_policy { header { header_name: \"X-User\" } terminal: true } "
              "hash_policy { cookie { name: \"s\" ttl { seconds: 60 } path: \"/\" } } "
              "hash_policy { connection_properties { source_ip: true } } "
              "hash_policy { query_parameter { name: \"q\" } } "
              "request_mirror_policies { cluster: \"m\" runtime_fraction { default_value { "
              "numerator: 5 } } } request_mirror_policies { cluster: \"n\" } "
              "upgrade_configs { upgrade_type: \"WebSocket\" } "
              "max_stream_duration { grpc_timeout_header_max { seconds: 3 } }"))
          .forward;
  ASSERT_EQ(forward.hash.size(), 4);
  EXPECT_EQ(forward.hash[0].name, "x-user");
  EXPECT_TRUE(forward.hash[0].terminal);
  EXPECT_EQ(forward.hash[1].cookie_ttl, std::chrono::seconds(60));
  EXPECT_EQ(forward.hash[2].kind, HashPolicy::Kind::kSourceIp);
  EXPECT_EQ(forward.hash[3].kind, HashPolicy::Kind::kQuery);
  ASSERT_EQ(forward.mirrors.size(), 2);
  EXPECT_EQ(forward.mirrors[0].per_million, 50'000);
  EXPECT_EQ(forward.mirrors[1].per_million, 1'000'000);
  EXPECT_TRUE(forward.upgrade_websocket);
  EXPECT_EQ(forward.max_grpc_timeout, milliseconds(3000));

  const auto why = [](const std::string& text) { return Why(OfAction("cluster: \"c\" " + text)); };
  EXPECT_THAT(why("hash_policy {}"), HasSubstr("hash_policy[0]: needs header, cookie"));
  EXPECT_THAT(why("hash_policy { header { header_name: \"a b\" } }"),
              HasSubstr("header.header_name: is no name"));
  EXPECT_THAT(why("hash_policy { cookie { name: \"a=b\" } }"), HasSubstr("cookie.name"));
  EXPECT_THAT(why("hash_policy { cookie { name: \"a\" path: \"/;x\" } }"),
              HasSubstr("cookie.path: is no path"));
  EXPECT_THAT(why("hash_policy { connection_properties {} }"),
              HasSubstr("source_ip: must be true"));
  EXPECT_THAT(why("hash_policy { query_parameter {} }"), HasSubstr("name: is required"));
  EXPECT_THAT(why("request_mirror_policies {}"),
              HasSubstr("request_mirror_policies[0].cluster: is required"));
  EXPECT_THAT(why("request_mirror_policies { cluster: \"m\" runtime_fraction { default_value { "
                  "numerator: 101 } } }"),
              HasSubstr("runtime_fraction in millionths: must be 0 to 1000000"));
  EXPECT_THAT(why("upgrade_configs { upgrade_type: \"CONNECT\" }"),
              HasSubstr("upgrade_type: must be `websocket`"));
}

TEST(RouteTranslationTest, RedirectsAndDirectResponses) {
  const auto redirect = [](const std::string& text) {
    return Host("routes { match { prefix: \"/\" } redirect {" + text + "} }");
  };
  const RedirectAction whole =
      One(redirect("host_redirect: \"h\" port_redirect: 8443 response_code: PERMANENT_REDIRECT "
                   "https_redirect: true path_redirect: \"/p?q=1\" strip_query: true"))
          .redirect;
  EXPECT_EQ(whole.status, 308);
  EXPECT_EQ(whole.scheme, "https");
  EXPECT_EQ(whole.port, 8443);
  EXPECT_EQ(whole.path, "/p?q=1");
  EXPECT_TRUE(whole.strip_query);
  EXPECT_EQ(One(redirect("")).redirect.status, 301);
  EXPECT_TRUE(One(redirect("prefix_rewrite: \"/n\"")).redirect.has_prefix);
  EXPECT_THAT(Why(redirect("scheme_redirect: \"ftp\"")), HasSubstr("scheme_redirect: must be"));
  EXPECT_THAT(Why(redirect("host_redirect: \"a b\"")), HasSubstr("host_redirect: is no host"));
  EXPECT_THAT(Why(redirect("port_redirect: 65536")), HasSubstr("port_redirect: must be"));
  EXPECT_THAT(Why(redirect("path_redirect: \"p\"")), HasSubstr("path_redirect: is no path"));
  EXPECT_THAT(Why(redirect("path_redirect: \"/p\\r\\nX: y\"")), HasSubstr("is no path"));
  EXPECT_THAT(Why(redirect("prefix_rewrite: \"p\"")), HasSubstr("prefix_rewrite: is no path"));

  const auto direct = [](const std::string& text) {
    return Host("routes { match { prefix: \"/\" } direct_response {" + text + "} }");
  };
  EXPECT_EQ(One(direct("status: 418 body { inline_string: \"teapot\" }")).direct.body, "teapot");
  EXPECT_THAT(Why(direct("status: 99")), HasSubstr("status: must be 200 to 599"));
  EXPECT_THAT(Why(direct("status: 200 body { inline_string: \"" + std::string(4097, 'x') + "\" }")),
              HasSubstr("body: must have at most 4096 bytes"));
  EXPECT_THAT(Why(Host("routes { match { prefix: \"/\" } }")),
              HasSubstr("routes[0]: needs route, redirect or direct_response"));
}

TEST(RouteTranslationTest, HeaderChangesTouchNothingOfTheProxysOwn) {
  const Route route =
      One(OfAction("cluster: \"c\"",
                   "request_headers_to_add { header { key: \"X-A\" value: \"100%%\" } } "
                   "request_headers_to_add { header { key: \"x-b\" value: \"2\" } append_action: "
                   "OVERWRITE_IF_EXISTS_OR_ADD } request_headers_to_remove: \"X-C\" "
                   "response_headers_to_remove: \"server\""));
  EXPECT_EQ(route.request_headers.add.at(0).name, "x-a");
  EXPECT_EQ(route.request_headers.add.at(0).value, "100%");
  EXPECT_EQ(route.request_headers.set.at(0).name, "x-b");
  EXPECT_THAT(route.request_headers.remove, ElementsAre("x-c"));
  EXPECT_THAT(route.response_headers.remove, ElementsAre("server"));

  const auto add = [](const std::string& key, const std::string& value) {
    return Why(OfAction("cluster: \"c\"", "request_headers_to_add { header { key: \"" + key +
                                              "\" value: \"" + value + "\" } }"));
  };
  EXPECT_THAT(add("x", "%DOWNSTREAM_REMOTE_ADDRESS%"),
              HasSubstr("request_headers_to_add[0].header.value: has a `%`"));
  EXPECT_THAT(add("x", "a\\r\\nb: c"), HasSubstr("is no value of a header field"));
  EXPECT_THAT(add("a b", "c"), HasSubstr("header.key: is no name"));
  for (const char* name : {":path", "Host", "content-length", "Transfer-Encoding", "connection",
                           "X-Forwarded-Client-Cert", "x-countersign-flags", "client-cert"}) {
    EXPECT_THAT(add(name, "x"), StartsWith("routes `r`.virtual_hosts[0].routes[0]."
                                           "request_headers_to_add[0].header.key: `"))
        << name;
    EXPECT_THAT(
        Why(OfAction("cluster: \"c\"", absl::StrCat("response_headers_to_remove: \"", name, "\""))),
        HasSubstr("response_headers_to_remove[0]: `"))
        << name;
  }
  EXPECT_THAT(Why(OfAction("cluster: \"c\"",
                           "request_headers_to_add { header { key: \"a\" value: \"b\" } "
                           "append_action: ADD_IF_ABSENT }")),
              HasSubstr("append_action: must be"));
}

TEST(RouteTranslationTest, FaultsStandInTheirPlace) {
  const auto fault = [](const std::string& text, const std::string& key) {
    return OfAction("cluster: \"c\"", "typed_per_filter_config { key: \"" + key +
                                          "\" value { [type.googleapis.com/"
                                          "envoy.extensions.filters.http.fault.v3.HTTPFault] {" +
                                          text + "} } }");
  };
  const std::string key = "envoy.filters.http.fault";
  const FaultPolicy policy =
      One(fault("delay { fixed_delay { seconds: 1 } percentage { numerator: 1 denominator: "
                "TEN_THOUSAND } } abort { grpc_status: 14 percentage { numerator: 50 } }",
                key))
          .fault;
  EXPECT_EQ(policy.delay, milliseconds(1000));
  EXPECT_EQ(policy.delay_per_million, 100);
  EXPECT_EQ(policy.abort_grpc_status, 14);
  EXPECT_EQ(policy.abort_status, 503);
  EXPECT_EQ(policy.abort_per_million, 500'000);
  EXPECT_THAT(Why(fault("", "envoy.filters.http.lua")), HasSubstr("is not honoured"));
  EXPECT_THAT(Why(fault("abort { http_status: 99 }", key)), HasSubstr("http_status: must be"));
  EXPECT_THAT(Why(fault("abort { }", key)), HasSubstr("abort: needs http_status or grpc_status"));
  EXPECT_THAT(Why(fault("delay { percentage { numerator: 1 } }", key)),
              HasSubstr("delay.fixed_delay: must be"));
  EXPECT_THAT(
      Why(fault("abort { http_status: 500 percentage { numerator: 1 denominator: 9 } }", key)),
      HasSubstr("percentage.denominator: must be"));
}

TEST(RouteTranslationTest, VirtualHostsAreChecked) {
  const auto host = [](const std::string& text) {
    return Why("name: \"r\" virtual_hosts {" + text + "}");
  };
  EXPECT_EQ(host("name: \"h\" domains: \"A.b\" domains: \"*.b\" domains: \"a.*\" domains: \"*\""),
            "");
  EXPECT_THAT(host("name: \"h\""), HasSubstr("virtual_hosts[0].domains: must be 1 to 1000"));
  for (const char* bad : {"", "a*b", "*.*", "a b", "a/b", "*.a.*"}) {
    EXPECT_THAT(host(absl::StrCat("domains: \"", bad, "\"")),
                HasSubstr("domains[0]: must be a host name"))
        << bad;
  }
  EXPECT_THAT(host("domains: \"a\" domains: \"A\""), HasSubstr("domains[1]: `a` stands twice"));
  EXPECT_THAT(Why("name: \"r\" validate_clusters { value: true }"),
              HasSubstr("validate_clusters: must not be true"));
  std::string many = "name: \"r\"";
  for (int i = 0; i < 1001; ++i) {
    absl::StrAppend(&many, " virtual_hosts { domains: \"h", i, "\" }");
  }
  EXPECT_THAT(Why(many), HasSubstr("virtual_hosts: must be at most 1000"));
  std::string routes = "domains: \"*\"";
  for (int i = 0; i < 5001; ++i) {
    routes += " routes { match { prefix: \"/\" } redirect {} }";
  }
  EXPECT_THAT(host(routes), HasSubstr("have more than 5000 routes"));
}

TEST(RouteTranslationTest, ClustersAreNamedOnceMirrorsIncluded) {
  const auto routes = Translate(Host(
      "routes { match { prefix: \"/a\" } route { cluster: \"b\" request_mirror_policies { cluster: "
      "\"m\" } } } routes { match { prefix: \"/\" } route { weighted_clusters { clusters { name: "
      "\"a\" weight { value: 1 } } clusters { name: \"b\" weight { value: 1 } } } } }"));
  ASSERT_TRUE(routes.ok()) << routes.status();
  EXPECT_THAT(ClustersOf(**routes), ElementsAre("a", "b", "m"));
}

}  // namespace
}  // namespace countersign::config
