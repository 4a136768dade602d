#include "proxy/admin/clusters_page.h"

#include <nlohmann/json.hpp>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::admin {
namespace {

using ::testing::HasSubstr;

HostInfo Host(const std::string& address, uint64_t active) {
  HostInfo host;
  host.endpoint.address = *net::Address::Parse(address);
  host.endpoint.transport = config::EndpointTransport::kTls;
  host.endpoint.identity = *spiffe::SpiffeId::Parse("spiffe://td/shop");
  host.endpoint.workload = "shop";
  host.endpoint.workload_namespace = "back";
  host.endpoint.locality.zone = "z1";
  host.active = active;
  host.requests = 10;
  host.failures = 1;
  return host;
}

ClusterInfo Cluster(const std::string& name, std::vector<HostInfo> hosts) {
  return {.name = name,
          .service = "shop",
          .service_namespace = "back",
          .protocol = config::AppProtocol::kHttp1,
          .limits = {{"requests", 1000, 5, 1}},
          .hosts = std::move(hosts)};
}

TEST(ClustersPageTest, WhatWorkersSeeIsAddedUp) {
  ClusterInfo first = Cluster("shop", {Host("10.0.0.2:80", 2), Host("10.0.0.1:80", 1)});
  ClusterInfo second = Cluster("shop", {Host("10.0.0.1:80", 3), Host("10.0.0.3:80", 0)});
  second.hosts[0].ejected = true;
  const std::vector<ClusterInfo> merged =
      MergeClusters({first, second, Cluster("apples", {Host("10.0.0.9:80", 0)})});
  ASSERT_EQ(merged.size(), 2u);
  EXPECT_EQ(merged[0].name, "apples");
  EXPECT_EQ(merged[1].limits[0].limit, 2000u);
  EXPECT_EQ(merged[1].limits[0].count, 10u);
  ASSERT_EQ(merged[1].hosts.size(), 3u);
  EXPECT_EQ(merged[1].hosts[0].endpoint.address.ToString(), "10.0.0.1:80");
  EXPECT_EQ(merged[1].hosts[0].active, 4u);
  EXPECT_EQ(merged[1].hosts[0].requests, 20u);
  EXPECT_TRUE(merged[1].hosts[0].ejected);
}

TEST(ClustersPageTest, TextHasEnvoysLines) {
  ClusterInfo cluster = Cluster("outbound|80", {Host("10.0.0.2:80", 2)});
  cluster.hosts[0].failed_check = true;
  cluster.hosts[0].ejected = true;
  const std::string text = RenderClustersText({cluster});
  EXPECT_THAT(text, HasSubstr("outbound|80::default_priority::max_requests::1000\n"));
  EXPECT_THAT(text, HasSubstr("outbound|80::default_priority::requests_active::5\n"));
  EXPECT_THAT(text, HasSubstr("outbound|80::10.0.0.2:80::rq_active::2\n"));
  EXPECT_THAT(text, HasSubstr("outbound|80::10.0.0.2:80::health_flags::/failed_active_hc/"
                              "failed_outlier_check\n"));
  EXPECT_THAT(text, HasSubstr("outbound|80::10.0.0.2:80::identity::spiffe://td/shop\n"));
  EXPECT_THAT(text, HasSubstr("outbound|80::10.0.0.2:80::zone::z1\n"));
  EXPECT_THAT(text, HasSubstr("outbound|80::10.0.0.2:80::rq_error::1\n"));
}

TEST(ClustersPageTest, JsonSaysTheSame) {
  const nlohmann::json page =
      nlohmann::json::parse(RenderClustersJson({Cluster("bad\xFF", {Host("10.0.0.2:80", 2)})}));
  const nlohmann::json& cluster = page["clusters"][0];
  EXPECT_EQ(cluster["protocol"], "http1");
  EXPECT_EQ(cluster["lb_policy"], "LEAST_REQUEST");
  EXPECT_EQ(cluster["circuit_breakers"]["requests"]["overflows"], 1);
  EXPECT_EQ(cluster["hosts"][0]["health"], "healthy");
  EXPECT_EQ(cluster["hosts"][0]["active"], 2);
}

}  // namespace
}  // namespace countersign::admin
