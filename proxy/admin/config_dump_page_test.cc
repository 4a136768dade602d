#include "proxy/admin/config_dump_page.h"

#include <nlohmann/json.hpp>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::admin {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(ConfigDumpPageTest, WhatIsInForceStandsThere) {
  auto standing = std::make_shared<config::ProxyConfig>();
  standing->inbound.fallback = {config::MtlsMode::kStrict, "shop/default"};
  standing->inbound.ports[8080] = {config::MtlsMode::kPermissive, "shop/web"};
  standing->outbound = {config::OutboundPolicy::Mode::kAllowAny, "mesh"};
  auto cluster = std::make_shared<config::Cluster>();
  cluster->name = "db";
  config::Endpoint& endpoint = cluster->endpoints.emplace_back();
  endpoint.address = *net::Address::Parse("10.0.0.2:5432");
  endpoint.transport = config::EndpointTransport::kHbone;
  endpoint.tunnel = *net::Address::Parse("10.0.0.2:15008");
  endpoint.identity = *spiffe::SpiffeId::Parse("spiffe://mesh.test/db");
  endpoint.workload = "db\xFF";
  auto destination = std::make_shared<config::Destination>();
  destination->kind = config::Destination::Kind::kCluster;
  destination->cluster = cluster;
  ConfigDump dump;
  dump.flags = {{"control", "c:15012"}};
  dump.config = standing;
  dump.destinations["10.96.0.10:5432"] = destination;
  dump.destinations["1.1.1.1:443"] = std::make_shared<config::Destination>();
  dump.xds_connected = true;
  dump.versions["inbound"] = "7";
  const json parsed = json::parse(RenderConfigDump(dump));
  EXPECT_EQ(parsed["flags"]["control"], "c:15012");
  EXPECT_EQ(parsed["standing"]["inbound"]["ports"]["8080"]["mode"], "PERMISSIVE");
  EXPECT_EQ(parsed["standing"]["inbound"]["default"]["policy"], "shop/default");
  EXPECT_EQ(parsed["standing"]["outbound"]["mode"], "ALLOW_ANY");
  EXPECT_EQ(parsed["destinations"]["1.1.1.1:443"]["kind"], "unknown");
  EXPECT_EQ(parsed["destinations"]["10.96.0.10:5432"]["cluster"], "db");
  const json& shown = parsed["clusters"]["db"]["endpoints"][0];
  EXPECT_EQ(shown["tunnel"], "10.0.0.2:15008");
  EXPECT_EQ(shown["identity"], "spiffe://mesh.test/db");
  EXPECT_EQ(parsed["xds"]["connected"], true);
  EXPECT_EQ(parsed["xds"]["versions"]["inbound"], "7");
}

TEST(ConfigDumpPageTest, RoutesStandThereWithoutTheValuesThatTheySet) {
  auto routes = std::make_shared<config::RouteConfiguration>();
  routes->name = "web.back";
  config::VirtualHost& host = routes->virtual_hosts.emplace_back();
  host.name = "web";
  host.domains = {"web.back", "*.web"};
  config::Route& route = host.routes.emplace_back();
  route.name = "canary";
  route.match.path = {.kind = config::PathMatch::Kind::kPathPrefix, .text = "/cart", .regex = {}};
  route.match.headers = {{"x-user", {.kind = config::StringMatch::Kind::kPrefix, .text = "beta"}}};
  route.forward.clusters.resize(2);
  route.forward.clusters[0].cluster = "v1";
  route.forward.clusters[0].weight = 90;
  route.forward.clusters[1].cluster = "v2";
  route.forward.timeout = config::Milliseconds(1500);
  route.request_headers.set = {{"authorization", "Bearer secret"}};
  config::Route& moved = host.routes.emplace_back();
  moved.action = config::Route::Action::kRedirect;
  moved.redirect.host = "elsewhere";
  auto destination = std::make_shared<config::Destination>();
  destination->kind = config::Destination::Kind::kCluster;
  destination->routes = routes;
  destination->http.max_headers = 7;
  for (const char* name : {"v1", "v2"}) {
    auto cluster = std::make_shared<config::Cluster>();
    cluster->name = name;
    cluster->lb_policy = config::LbPolicy::kMaglev;
    cluster->outlier.enabled = true;
    destination->route_clusters.push_back(cluster);
  }
  ConfigDump dump;
  dump.destinations["10.96.0.10:80"] = destination;
  const std::string page = RenderConfigDump(dump);
  const json parsed = json::parse(page);
  EXPECT_EQ(parsed["destinations"]["10.96.0.10:80"]["routes"], "web.back");
  EXPECT_EQ(parsed["destinations"]["10.96.0.10:80"]["http"]["max_headers"], 7);
  EXPECT_EQ(parsed["destinations"]["10.96.0.10:80"]["http"]["escaped_slashes"], "REJECT");
  const json& shown = parsed["routes"]["web.back"]["virtual_hosts"][0]["routes"];
  EXPECT_EQ(shown[0]["match"]["path_separated_prefix"], "/cart");
  EXPECT_EQ(shown[0]["match"]["headers"][0]["prefix"], "beta");
  EXPECT_EQ(shown[0]["forward"]["clusters"][0]["weight"], 90);
  EXPECT_EQ(shown[0]["forward"]["timeout_ms"], 1500);
  EXPECT_EQ(shown[0]["forward"]["retry_policy"]["retry_on"],
            "connect-failure,refused-stream,reset-before-request");
  EXPECT_EQ(shown[1]["redirect"]["host"], "elsewhere");
  EXPECT_EQ(shown[0]["request_headers"]["set"][0], "authorization");
  EXPECT_THAT(page, Not(HasSubstr("secret")));
  EXPECT_EQ(parsed["clusters"]["v2"]["lb_policy"], "MAGLEV");
  EXPECT_EQ(parsed["clusters"]["v2"]["outlier_detection"]["consecutive_5xx"], 5);
}

}  // namespace
}  // namespace countersign::admin
