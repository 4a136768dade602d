#include "proxy/upstream/cluster.h"

#include <set>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "gtest/gtest.h"
#include "proxy/upstream/cluster_table.h"
#include "proxy/upstream/testing/upstream_fixture.h"

namespace countersign::upstream {
namespace {

using std::chrono::seconds;

std::shared_ptr<config::Cluster> AddressesOf(const std::vector<std::string>& addresses) {
  auto cluster = std::make_shared<config::Cluster>();
  cluster->name = "echo";
  for (const std::string& address : addresses) {
    config::Endpoint endpoint;
    endpoint.address = *net::Address::Parse(address);
    cluster->endpoints.push_back(endpoint);
  }
  return cluster;
}

class ClusterTest : public testing::UpstreamFixture {
 protected:
  ClusterRef With(const std::vector<std::string>& addresses) {
    return table_.Acquire(AddressesOf(addresses));
  }
};

TEST_F(ClusterTest, FewerConnectionsWin) {
  const ClusterRef cluster = With({"10.0.0.1:80", "10.0.0.2:80"});
  Cluster::BeginConnection(*cluster->hosts()[0]);
  for (int i = 0; i < 20; ++i) EXPECT_EQ(cluster->ChooseHost({}), cluster->hosts()[1].get());
  Cluster::EndConnection(cluster->hosts()[0].get());
}

TEST_F(ClusterTest, WhatFailedComesLastAndWhatWasTriedOnlyIfThereIsNoOther) {
  const ClusterRef cluster = With({"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"});
  const auto hosts = cluster->hosts();
  cluster->OnConnectFailed(*hosts[0]);
  for (int i = 0; i < 50; ++i) EXPECT_NE(cluster->ChooseHost({}), hosts[0].get());
  const std::vector<const Host*> tried = {hosts[1].get(), hosts[2].get()};
  EXPECT_EQ(cluster->ChooseHost({{}, tried}), hosts[0].get());
  const std::vector<const Host*> all = {hosts[0].get(), hosts[1].get(), hosts[2].get()};
  EXPECT_NE(cluster->ChooseHost({{}, all}), nullptr);
  EXPECT_EQ(cluster->ChooseHost({{}, all, /*untried_only=*/true}), nullptr);
}

TEST_F(ClusterTest, LoadSpreadsOverAll) {
  const ClusterRef cluster = With({"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80"});
  std::vector<Host*> held;
  for (int i = 0; i < 300; ++i) {
    held.push_back(cluster->ChooseHost({}));
    Cluster::BeginConnection(*held.back());
  }
  for (const auto& host : cluster->hosts()) EXPECT_NEAR(host->active, 100, 25);
  for (Host* host : held) Cluster::EndConnection(host);
}

TEST_F(ClusterTest, NoHostIsNoAnswer) {
  EXPECT_EQ(With(std::vector<std::string>())->ChooseHost({}), nullptr);
}

TEST_F(ClusterTest, AHostThatStaysKeepsItsStateAndARemovedOneLivesAsLongAsItIsHeld) {
  const ClusterRef cluster = With({"10.0.0.1:80", "10.0.0.2:80"});
  Host* kept = cluster->hosts()[0].get();
  Host* removed = cluster->hosts()[1].get();
  Cluster::BeginConnection(*removed);
  EXPECT_EQ(With({"10.0.0.1:80"}).get(), cluster.get());
  ASSERT_EQ(cluster->hosts().size(), 1);
  EXPECT_EQ(cluster->hosts()[0].get(), kept);
  EXPECT_TRUE(removed->removed);
  Cluster::EndConnection(removed);  // frees it
}

TEST_F(ClusterTest, TenThousandHostsAreUpdatedInPlaceAndRestWithoutTimers) {
  std::vector<std::string> addresses;
  for (int i = 0; i < 10'000; ++i) {
    addresses.push_back(absl::StrCat("10.1.", i / 250, ".", i % 250, ":80"));
  }
  const ClusterRef cluster = With(addresses);
  std::set<Host*> before;
  for (const auto& host : cluster->hosts()) before.insert(host.get());
  addresses[0] = "10.2.0.1:80";
  With(addresses);
  size_t kept = 0;
  for (const auto& host : cluster->hosts()) kept += before.count(host.get());
  EXPECT_EQ(kept, 9'999);
  std::set<Host*> chosen;
  for (int i = 0; i < 1000; ++i) chosen.insert(cluster->ChooseHost({}));
  EXPECT_GT(chosen.size(), 900);
  EXPECT_TRUE(dispatcher_.timers().empty());
}

TEST_F(ClusterTest, OutcomesEjectAHostAndItsShareGoesToTheOthers) {
  auto config = std::make_shared<config::Cluster>(
      *AddressesOf({"10.0.0.1:80", "10.0.0.2:80", "10.0.0.3:80", "10.0.0.4:80"}));
  config->outlier.enabled = true;
  const ClusterRef cluster = table_.Acquire(config);
  Host* ill = cluster->hosts()[2].get();
  for (int i = 0; i < 5; ++i) {
    cluster->OnOutcome(*ill, {Outcome::Kind::kResponse, 503, std::chrono::microseconds(100)});
  }
  EXPECT_TRUE(ill->ejected);
  for (int i = 0; i < 100; ++i) EXPECT_NE(cluster->ChooseHost({}), ill);
  EXPECT_THAT(stats_.Serialize(),
              ::testing::HasSubstr("countersign_cluster_ejections_total{cluster=\"echo\",cause="
                                   "\"consecutive_5xx\"} 1"));
  Advance(seconds(31));
  EXPECT_FALSE(ill->ejected);
}

TEST_F(ClusterTest, TheRetryBudgetGrowsWithTheRequestsUnderWay) {
  CircuitBreakers breakers({});
  for (int i = 0; i < 3; ++i) EXPECT_TRUE(breakers.TryAdd(CircuitBreakers::Kind::kRetries));
  EXPECT_FALSE(breakers.TryAdd(CircuitBreakers::Kind::kRetries));
  for (int i = 0; i < 100; ++i) breakers.Add(CircuitBreakers::Kind::kRequests);
  EXPECT_EQ(breakers.limit(CircuitBreakers::Kind::kRetries), 20);
  EXPECT_TRUE(breakers.TryAdd(CircuitBreakers::Kind::kRetries));
  EXPECT_EQ(breakers.overflows(CircuitBreakers::Kind::kRetries), 1);
}

TEST_F(ClusterTest, TcpConnectionsCountAgainstTheLimitAndBeyondItNothingIsHeld) {
  auto config = AddressesOf({"10.0.0.1:80", "10.0.0.2:80"});
  config->breakers.max_connections = 2;
  const ClusterRef cluster = table_.Acquire(config);
  Host& a = *cluster->hosts()[0];
  Host& b = *cluster->hosts()[1];
  EXPECT_TRUE(Cluster::BeginConnection(a));
  EXPECT_TRUE(Cluster::BeginConnection(b));
  EXPECT_FALSE(Cluster::BeginConnection(b));
  EXPECT_EQ(b.active, 1);
  EXPECT_EQ(b.holds, 1);
  EXPECT_THAT(stats_.Serialize(),
              ::testing::HasSubstr("countersign_cluster_overflow_total{cluster=\"echo\",breaker="
                                   "\"connections\"} 1"));
  EXPECT_EQ(cluster->circuit_breakers().Explain(CircuitBreakers::Kind::kConnections, "echo"),
            "the circuit breaker of cluster echo is open: 2 connections are under way from this "
            "worker");
  Cluster::EndConnection(&a);
  EXPECT_TRUE(Cluster::BeginConnection(b));
  Cluster::EndConnection(&b);
  Cluster::EndConnection(&b);
  EXPECT_EQ(Count(*cluster, CircuitBreakers::Kind::kConnections), 0);
  EXPECT_EQ(b.holds, 0);
}

TEST_F(ClusterTest, OurOwnPodIsCalledWithoutItsSidecarAndOtherReplicasAreNot) {
  table_.SetWorkload("web", "default");
  std::vector<config::Endpoint> endpoints = {MeshEndpoint(*net::Address::Parse("127.0.0.1:80")),
                                             MeshEndpoint(*net::Address::Parse("192.0.2.1:80"))};
  for (config::Endpoint& endpoint : endpoints) {
    endpoint.workload = "web";
    endpoint.workload_namespace = "default";
  }
  Cluster& cluster = Use(ClusterOf(endpoints));
  EXPECT_EQ(cluster.hosts()[0]->endpoint.transport, config::EndpointTransport::kPlaintext);
  EXPECT_EQ(cluster.hosts()[1]->endpoint.transport, config::EndpointTransport::kTls);
}

TEST_F(ClusterTest, ItsSeriesGoWithIt) {
  ClusterRef cluster = With({"10.0.0.1:80"});
  EXPECT_THAT(stats_.Serialize(), ::testing::HasSubstr("cluster=\"echo\""));
  cluster = {};
  EXPECT_THAT(stats_.Serialize(), ::testing::Not(::testing::HasSubstr("cluster=\"echo\"")));
}

TEST_F(ClusterTest, AHeldHostKeepsItsCluster) {
  ClusterRef cluster = With({"10.0.0.1:80"});
  Host* host = cluster->hosts()[0].get();
  Cluster::Hold(*host);
  cluster = {};
  EXPECT_EQ(table_.size(), 1);
  EXPECT_EQ(host->cluster->config().name, "echo");
  Cluster::Release(host);
  EXPECT_EQ(table_.size(), 0);
}

}  // namespace
}  // namespace countersign::upstream
