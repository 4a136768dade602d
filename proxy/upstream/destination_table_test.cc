#include "proxy/upstream/destination_table.h"

#include <map>
#include <string>

#include "gtest/gtest.h"
#include "proxy/upstream/testing/upstream_fixture.h"

namespace countersign::upstream {
namespace {

using config::Destination;
using std::chrono::seconds;

class CountingDiscovery : public config::Discovery {
 public:
  void Subscribe(const net::Address& address) override { ++subscribed[address.ToString()]; }
  void Touch(const net::Address& address) override { ++touched[address.ToString()]; }
  std::map<std::string, int> subscribed;
  std::map<std::string, int> touched;
};

struct CountingWaiter : DestinationTable::Waiter {
  void OnDestinationKnown() override { ++calls; }
  int calls = 0;
};

net::Address At(const std::string& text) { return *net::Address::Parse(text); }

std::shared_ptr<const Destination> ServiceOf(const std::vector<std::string>& addresses) {
  auto cluster = std::make_shared<config::Cluster>();
  cluster->name = "echo";
  for (const std::string& address : addresses) {
    config::Endpoint endpoint;
    endpoint.address = At(address);
    cluster->endpoints.push_back(endpoint);
  }
  auto destination = std::make_shared<Destination>();
  destination->kind = Destination::Kind::kCluster;
  destination->cluster = cluster;
  return destination;
}

class DestinationTableTest : public testing::UpstreamFixture {
 protected:
  CountingDiscovery discovery_;
  ClusterTable& clusters_ = UpstreamFixture::table_;
  DestinationTable table_{discovery_, clusters_};
  event::Instant now_{std::chrono::hours(1)};
  const net::Address service_ = At("10.96.0.1:80");
};

TEST_F(DestinationTableTest, SubscribesOnceAndTouchesNowAndThen) {
  for (int i = 0; i < 5; ++i) table_.Find(service_, now_);
  EXPECT_EQ(discovery_.subscribed["10.96.0.1:80"], 1);
  EXPECT_EQ(discovery_.touched["10.96.0.1:80"], 0);
  table_.Find(service_, now_ + seconds(10));
  table_.Find(service_, now_ + seconds(11));
  EXPECT_EQ(discovery_.touched["10.96.0.1:80"], 1);
}

TEST_F(DestinationTableTest, AnAnswerWakesWhoWaits) {
  CountingWaiter one, two;
  table_.Wait(*table_.Find(service_, now_), one);
  table_.Wait(*table_.Find(service_, now_), two);
  two.Cancel();
  table_.OnDestination(service_, ServiceOf({"10.0.0.1:80"}));
  EXPECT_EQ(one.calls, 1);
  EXPECT_EQ(two.calls, 0);
  EXPECT_FALSE(one.waiting());
}

TEST_F(DestinationTableTest, ADroppedSubscriptionIsAskedForAgain) {
  table_.Find(service_, now_);
  table_.OnDestination(service_, ServiceOf({"10.0.0.1:80"}));
  table_.OnDestination(service_, nullptr);
  EXPECT_EQ(table_.size(), 0);
  EXPECT_EQ(table_.Find(service_, now_)->destination, nullptr);
  EXPECT_EQ(discovery_.subscribed["10.96.0.1:80"], 2);
}

TEST_F(DestinationTableTest, QuestionsWithoutAnswerAreBounded) {
  int taken = 0;
  for (int i = 0; i < 5000; ++i) {
    const net::Address address(
        net::IpAddress::V4({10, 1, static_cast<uint8_t>(i >> 8), static_cast<uint8_t>(i)}), 80);
    if (table_.Find(address, now_) != nullptr) ++taken;
  }
  EXPECT_EQ(taken, 1024);
}

TEST_F(DestinationTableTest, DestinationsShareTheirClusters) {
  table_.OnDestination(service_, ServiceOf({"10.0.0.1:80"}));
  table_.OnDestination(At("10.96.0.2:80"), ServiceOf({"10.0.0.1:80", "10.0.0.2:80"}));
  DestinationTable::Entry& entry = *table_.Find(service_, now_);
  EXPECT_EQ(entry.cluster.get(), table_.Find(At("10.96.0.2:80"), now_)->cluster.get());
  EXPECT_EQ(entry.cluster->hosts().size(), 2);
  EXPECT_EQ(entry.FindCluster("echo"), entry.cluster.get());
  EXPECT_EQ(entry.FindCluster("other"), nullptr);
  table_.OnDestination(service_, nullptr);
  EXPECT_EQ(clusters_.size(), 1);
  table_.OnDestination(At("10.96.0.2:80"), nullptr);
  EXPECT_EQ(clusters_.size(), 0);
}

}  // namespace
}  // namespace countersign::upstream
