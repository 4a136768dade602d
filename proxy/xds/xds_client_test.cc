#include "proxy/xds/xds_client.h"

#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "gmock/gmock.h"
#include "proxy/xds/xds_client_fixture.h"

namespace countersign::xds {
namespace {

using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

class XdsClientTest : public XdsClientFixture {};

TEST_F(XdsClientTest, WaitsForACertificateAndThenAsksForItsStandingConfiguration) {
  Want("10.96.0.1:80");
  EXPECT_THAT(dialer_.open, IsEmpty());
  Identify();
  ASSERT_THAT(dialer_.open, SizeIs(1));
  EXPECT_EQ(dialer_.last_params.client, secret_);
  EXPECT_EQ(dialer_.last_params.control_id.ToString(), "spiffe://mesh.test/countersign/control");
  ASSERT_THAT(dialer_.open[0]->requests, SizeIs(1));
  const DeltaDiscoveryRequest& first = dialer_.open[0]->requests[0];
  EXPECT_EQ(first.node().id(), "default/web");
  EXPECT_THAT(first.node().client_features(), ElementsAre(kFollowReferences));
  EXPECT_THAT(first.resource_names_subscribe(),
              UnorderedElementsAre("inbound", "outbound", "outbound/10.96.0.1:80"));
}

TEST_F(XdsClientTest, ADestinationIsToldOnceWhenItIsWhole) {
  Identify();
  auto* stream = dialer_.open[0];
  SayStanding(stream);
  ASSERT_NE(config_, nullptr);
  EXPECT_EQ(config_->inbound.fallback.mode, config::MtlsMode::kDisable);
  EXPECT_EQ(config_->outbound.mode, config::OutboundPolicy::Mode::kAllowAny);
  Want("10.96.0.1:80");
  EXPECT_THAT(stream->Last(kListenerUrl).resource_names_subscribe(),
              ElementsAre("outbound/10.96.0.1:80"));
  SayDestination(stream, "10.96.0.1:80", 2);
  EXPECT_EQ(told_, 1);
  EXPECT_EQ(destinations_["10.96.0.1:80"]->cluster->endpoints.size(), 2);
  EXPECT_EQ(stream->Last(kListenerUrl).response_nonce(), "l2");
  EXPECT_FALSE(stream->Last(kListenerUrl).has_error_detail());
  // Asked again: told again, and nothing is sent.
  const size_t requests = stream->requests.size();
  Want("10.96.0.1:80");
  EXPECT_EQ(told_, 2);
  EXPECT_EQ(stream->requests.size(), requests);
}

TEST_F(XdsClientTest, AControlPlaneThatFollowsNoReferencesIsAskedByName) {
  Identify();
  auto* stream = dialer_.open[0];
  Want("10.96.0.1:80");
  const net::Address at = *net::Address::Parse("10.96.0.1:80");
  DeltaDiscoveryResponse listeners = Response(kListenerUrl);
  Add(DestinationName(at), Destination(at, "web"), &listeners);
  stream->Say(listeners);
  EXPECT_THAT(stream->Last(kClusterUrl).resource_names_subscribe(), ElementsAre("web"));
  DeltaDiscoveryResponse clusters = Response(kClusterUrl);
  Add("web",
      Cluster("web",
              "type: EDS eds_cluster_config { service_name: \"eps\" eds_config { ads {} } }"),
      &clusters);
  stream->Say(clusters);
  EXPECT_THAT(stream->Last(kEndpointsUrl).resource_names_subscribe(), ElementsAre("eps"));
  EXPECT_EQ(told_, 0);
  DeltaDiscoveryResponse assignments = Response(kEndpointsUrl);
  Add("eps", Endpoints("eps", 1), &assignments);
  stream->Say(assignments);
  EXPECT_EQ(told_, 1);
}

TEST_F(XdsClientTest, AnUnknownDestinationIsToldSo) {
  Identify();
  Want("192.0.2.1:443");
  DeltaDiscoveryResponse response = Response(kListenerUrl);
  response.add_removed_resources("outbound/192.0.2.1:443");
  dialer_.open[0]->Say(response);
  ASSERT_NE(destinations_["192.0.2.1:443"], nullptr);
  EXPECT_EQ(destinations_["192.0.2.1:443"]->kind, config::Destination::Kind::kUnknown);
}

TEST_F(XdsClientTest, WhatIsRefusedIsNamedAndLeavesTheOldInForce) {
  Identify();
  auto* stream = dialer_.open[0];
  Want("10.96.0.1:80");
  SayDestination(stream, "10.96.0.1:80", 2);
  DeltaDiscoveryResponse bad = Response(kEndpointsUrl, "e3");
  auto broken = Endpoints("web", 1);
  broken.mutable_endpoints(0)
      ->mutable_lb_endpoints(0)
      ->mutable_endpoint()
      ->mutable_address()
      ->mutable_socket_address()
      ->set_address("not an address");
  Add("web", broken, &bad, "v2");
  stream->Say(bad);
  const DeltaDiscoveryRequest& nack = stream->Last(kEndpointsUrl);
  EXPECT_EQ(nack.response_nonce(), "e3");
  EXPECT_THAT(nack.error_detail().message(),
              HasSubstr("endpoints `web`.endpoints[0].lb_endpoints[0].endpoint.address"));
  EXPECT_EQ(destinations_["10.96.0.1:80"]->cluster->endpoints.size(), 2);
  EXPECT_EQ(told_, 1);
}

TEST_F(XdsClientTest, GarbageAndForeignTypesAreSurvived) {
  Identify();
  auto* stream = dialer_.open[0];
  stream->Say(Response("type.googleapis.com/envoy.config.route.v3.ScopedRouteConfiguration", "r1"));
  EXPECT_EQ(stream->requests.back().response_nonce(), "r1");
  EXPECT_TRUE(stream->requests.back().has_error_detail());
  DeltaDiscoveryResponse odd = Response(kListenerUrl, "x");
  odd.add_resources()->set_name("outbound/10.0.0.1:80");
  odd.add_removed_resources("inbound");
  odd.add_removed_resources("");
  stream->Say(odd);
  EXPECT_TRUE(stream->requests.back().has_error_detail());
}

TEST_F(XdsClientTest, TriesAgainWithGrowingJitterAndSaysWhatItHas) {
  Identify();
  SayStanding(dialer_.open[0]);
  Want("10.96.0.1:80");
  SayDestination(dialer_.open[0], "10.96.0.1:80", 1);
  EXPECT_TRUE(client_->connected());
  dialer_.open[0]->Close(absl::UnavailableError("gone"));
  EXPECT_FALSE(client_->connected());
  EXPECT_EQ(client_->last_error(), "gone");
  EXPECT_EQ(destinations_["10.96.0.1:80"]->cluster->endpoints.size(), 1);
  // Ceilings 200, 400, 800 ms, ... up to 10 s.
  int expected = 200;
  for (int i = 0; i < 9; ++i) {
    const int before = dialer_.opened;
    Pass(milliseconds(expected * 9 / 10));
    EXPECT_EQ(dialer_.opened, before) << i;
    Pass(milliseconds(expected / 10 + 2));
    EXPECT_EQ(dialer_.opened, before + 1) << i;
    ASSERT_THAT(dialer_.open, SizeIs(1));
    if (i < 8) {
      dialer_.open[0]->Close(absl::UnavailableError("still gone"));
    }
    expected = std::min(expected * 2, 10'000);
  }
  auto* stream = dialer_.open[0];
  const auto& versions = stream->requests[0].initial_resource_versions();
  EXPECT_EQ(versions.at("outbound/10.96.0.1:80"), "v1");
  EXPECT_EQ(versions.count("inbound"), 0);
  EXPECT_THAT(stream->Last(kClusterUrl).resource_names_subscribe(),
              UnorderedElementsAre("web", "Pass"));
  EXPECT_THAT(stream->Last(kEndpointsUrl).resource_names_subscribe(), ElementsAre("web"));
}

TEST_F(XdsClientTest, ANewCertificateOpensASecondStreamBeforeTheFirstGoes) {
  Identify();
  SayStanding(dialer_.open[0]);
  Identify();
  ASSERT_THAT(dialer_.open, SizeIs(2));
  EXPECT_TRUE(client_->connected());
  // Asked in between: on both.
  Want("10.96.0.1:80");
  EXPECT_THAT(dialer_.open[0]->Last(kListenerUrl).resource_names_subscribe(), SizeIs(1));
  EXPECT_THAT(dialer_.open[1]->Last(kListenerUrl).resource_names_subscribe(), SizeIs(1));
  auto* second = dialer_.open[1];
  SayStanding(second);
  ASSERT_THAT(dialer_.open, SizeIs(1));
  EXPECT_EQ(dialer_.open[0], second);
  EXPECT_TRUE(client_->connected());
}

TEST_F(XdsClientTest, TheFirstStreamStaysIfTheSecondFails) {
  Identify();
  SayStanding(dialer_.open[0]);
  Identify();
  dialer_.open[1]->Close(absl::UnavailableError("no"));
  EXPECT_TRUE(client_->connected());
  Pass(milliseconds(300));
  EXPECT_THAT(dialer_.open, SizeIs(2));
}

TEST_F(XdsClientTest, ANewBundleWithTheSameCertificateOpensNothing) {
  Identify();
  SayStanding(dialer_.open[0]);
  client_->OnSecret(secret_);
  EXPECT_EQ(dialer_.opened, 1);
}

TEST_F(XdsClientTest, AStreamThatNeverAnswersIsGivenUp) {
  Identify();
  Pass(milliseconds(15'001));
  EXPECT_THAT(dialer_.open, IsEmpty());
  EXPECT_THAT(client_->last_error(), HasSubstr("does not answer"));
  Pass(milliseconds(300));
  EXPECT_THAT(dialer_.open, SizeIs(1));
}

TEST_F(XdsClientTest, WhatIsTouchedStaysAndTheRestIsForgotten) {
  Identify();
  auto* stream = dialer_.open[0];
  SayStanding(stream);
  Want("10.96.0.1:80");
  SayDestination(stream, "10.96.0.1:80", 1);
  Want("10.96.0.2:80");
  for (int i = 0; i < 13; ++i) {
    client_->Touch(*net::Address::Parse("10.96.0.1:80"));
    Pass(milliseconds(50'000));
  }
  EXPECT_NE(destinations_["10.96.0.1:80"], nullptr);
  EXPECT_EQ(client_->resources().wanted(), 1);
  EXPECT_THAT(stream->Last(kListenerUrl).resource_names_unsubscribe(),
              ElementsAre("outbound/10.96.0.2:80"));
  for (int i = 0; i < 13; ++i) {
    Pass(milliseconds(50'000));
  }
  EXPECT_EQ(destinations_["10.96.0.1:80"], nullptr);
  EXPECT_EQ(client_->resources().wanted(), 0);
  EXPECT_THAT(stream->Last(kClusterUrl).resource_names_unsubscribe(), ElementsAre("web"));
  EXPECT_THAT(stream->Last(kEndpointsUrl).resource_names_unsubscribe(), ElementsAre("web"));
}

TEST_F(XdsClientTest, BeyondTheLimitTheLeastRecentlyUsedIsForgotten) {
  Identify();
  for (const char* address : {"10.0.0.1:1", "10.0.0.2:1", "10.0.0.3:1", "10.0.0.4:1"}) {
    Want(address);
    Pass(milliseconds(10));
  }
  EXPECT_EQ(client_->resources().wanted(), 3);
  EXPECT_FALSE(client_->resources().IsWanted(*net::Address::Parse("10.0.0.1:1")));
  EXPECT_TRUE(client_->resources().IsWanted(*net::Address::Parse("10.0.0.4:1")));
}

TEST_F(XdsClientTest, AClusterThatIsRemovedLeavesNoEndpoints) {
  Identify();
  auto* stream = dialer_.open[0];
  Want("10.96.0.1:80");
  SayDestination(stream, "10.96.0.1:80", 1);
  DeltaDiscoveryResponse removal = Response(kClusterUrl);
  removal.add_removed_resources("web");
  stream->Say(removal);
  ASSERT_EQ(destinations_["10.96.0.1:80"]->kind, config::Destination::Kind::kCluster);
  EXPECT_THAT(destinations_["10.96.0.1:80"]->cluster->endpoints, IsEmpty());
}

TEST_F(XdsClientTest, TheStandingConfigurationCannotBeRemoved) {
  Identify();
  auto* stream = dialer_.open[0];
  SayStanding(stream);
  const auto before = config_;
  DeltaDiscoveryResponse removal = Response(kListenerUrl);
  removal.add_removed_resources("inbound");
  stream->Say(removal);
  EXPECT_EQ(config_, before);
}

TEST_F(XdsClientTest, ALateSinkIsToldWhatIsInForce) {
  Identify();
  SayStanding(dialer_.open[0]);
  Want("10.96.0.1:80");
  SayDestination(dialer_.open[0], "10.96.0.1:80", 1);
  config_ = nullptr;
  told_ = 0;
  client_->AddSink(this);
  EXPECT_NE(config_, nullptr);
  EXPECT_EQ(told_, 1);
}

TEST_F(XdsClientTest, WorkersMayAskFromAnyThread) {
  Identify();
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&] {
      for (int i = 0; i < 100; ++i) {
        const net::Address address = *net::Address::Parse(absl::StrCat("10.0.0.1:", 1 + i % 3));
        client_->Subscribe(address);
        client_->Touch(address);
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  Turn();
  EXPECT_EQ(client_->resources().wanted(), 3);
  // What is posted when the client has gone finds nobody.
  client_->Subscribe(*net::Address::Parse("10.0.0.2:1"));
  client_.reset();
  Turn();
}

}  // namespace
}  // namespace countersign::xds
