#include "proxy/upstream/cluster.h"

#include <set>
#include <string>
#include <vector>

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
