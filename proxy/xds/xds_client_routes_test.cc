// Destinations that lead to routes: told whole, and never with half of what they name.
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "api/xds/http_connection_manager.pb.h"
#include "api/xds/http_router.pb.h"
#include "api/xds/route.pb.h"
#include "gmock/gmock.h"
#include "proxy/xds/xds_client_fixture.h"

namespace countersign::xds {
namespace {

using HttpConnectionManager =
    ::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

class XdsClientRoutesTest : public XdsClientFixture {
 protected:
  // A destination for HTTP alone, or for whatever the first bytes are.
  static envoy::config::listener::v3::Listener HttpDestination(const net::Address& address,
                                                               const std::string& routes,
                                                               const std::string& tcp_cluster) {
    envoy::config::listener::v3::Listener listener = Destination(address, tcp_cluster);
    if (tcp_cluster.empty()) {
      listener.clear_filter_chains();
    }
    envoy::config::listener::v3::FilterChain* chain = listener.add_filter_chains();
    HttpConnectionManager manager;
    manager.mutable_rds()->set_route_config_name(routes);
    manager.mutable_rds()->mutable_config_source()->mutable_ads();
    manager.mutable_max_request_headers_kb()->set_value(7);
    manager.add_http_filters()->mutable_typed_config()->PackFrom(
        envoy::extensions::filters::http::router::v3::Router());
    chain->add_filters()->mutable_typed_config()->PackFrom(manager);
    if (!tcp_cluster.empty()) {
      chain->mutable_filter_chain_match()->add_application_protocols("http/1.1");
    }
    return listener;
  }
  static envoy::config::route::v3::RouteConfiguration Routes(
      const std::string& name, const std::vector<std::string>& clusters) {
    envoy::config::route::v3::RouteConfiguration routes;
    routes.set_name(name);
    auto* host = routes.add_virtual_hosts();
    host->add_domains("x");
    for (const std::string& cluster : clusters) {
      auto* route = host->add_routes();
      route->mutable_match()->set_prefix("/");
      route->mutable_route()->set_cluster(cluster);
    }
    return routes;
  }
  void SayRoutes(ScriptedDialer::Stream* stream, const std::vector<std::string>& clusters,
                 const std::string& nonce = "r") {
    DeltaDiscoveryResponse response = Response(kRoutesUrl, nonce);
    Add("routes", Routes("routes", clusters), &response, nonce);
    stream->Say(response);
  }
  void SayCluster(ScriptedDialer::Stream* stream, const std::string& name, int endpoints) {
    DeltaDiscoveryResponse clusters = Response(kClusterUrl, "c");
    Add(name, Cluster(name, "type: EDS eds_cluster_config { eds_config { ads {} } }"), &clusters);
    stream->Say(clusters);
    DeltaDiscoveryResponse assignments = Response(kEndpointsUrl, "e");
    Add(name, Endpoints(name, endpoints), &assignments);
    stream->Say(assignments);
  }
  void SayHttpDestination(ScriptedDialer::Stream* stream, const char* address,
                          const std::string& tcp_cluster = "") {
    const net::Address at = *net::Address::Parse(address);
    DeltaDiscoveryResponse listeners = Response(kListenerUrl, "l");
    Add(DestinationName(at), HttpDestination(at, "routes", tcp_cluster), &listeners);
    stream->Say(listeners);
  }
};

TEST_F(XdsClientRoutesTest, AnHttpDestinationIsToldWhenRoutesClustersAndEndpointsAreThere) {
  Identify();
  auto* stream = dialer_.open[0];
  Want("10.96.0.1:80");
  SayHttpDestination(stream, "10.96.0.1:80", "web");
  EXPECT_THAT(stream->Last(kRoutesUrl).resource_names_subscribe(), ElementsAre("routes"));
  SayCluster(stream, "web", 1);
  EXPECT_EQ(told_, 0);
  SayRoutes(stream, {"web", "canary"});
  EXPECT_THAT(stream->Last(kClusterUrl).resource_names_subscribe(), ElementsAre("canary"));
  EXPECT_EQ(told_, 0);
  SayCluster(stream, "canary", 2);
  ASSERT_EQ(told_, 1);
  const config::Destination& destination = *destinations_["10.96.0.1:80"];
  EXPECT_EQ(destination.cluster->name, "web");
  EXPECT_EQ(destination.cluster->protocol, config::AppProtocol::kAuto);
  ASSERT_EQ(destination.route_clusters.size(), 2);
  EXPECT_EQ(destination.route_clusters[0]->name, "canary");
  EXPECT_EQ(destination.route_clusters[0]->endpoints.size(), 2);
  EXPECT_EQ(destination.route_clusters[1], destination.cluster);
  EXPECT_EQ(destination.routes->virtual_hosts[0].routes.size(), 2);
  EXPECT_EQ(destination.http.max_header_bytes, 7 * 1024);
}

TEST_F(XdsClientRoutesTest, NewRoutesTakeEffectWhenTheirClustersAreThere) {
  Identify();
  auto* stream = dialer_.open[0];
  Want("10.96.0.1:80");
  SayHttpDestination(stream, "10.96.0.1:80");
  SayRoutes(stream, {"web"});
  SayCluster(stream, "web", 1);
  ASSERT_EQ(told_, 1);
  EXPECT_EQ(destinations_["10.96.0.1:80"]->cluster->protocol, config::AppProtocol::kHttp1);
  SayRoutes(stream, {"next"}, "r2");
  EXPECT_EQ(told_, 1);
  EXPECT_EQ(destinations_["10.96.0.1:80"]->route_clusters[0]->name, "web");
  SayCluster(stream, "next", 1);
  EXPECT_EQ(told_, 2);
  EXPECT_THAT(destinations_["10.96.0.1:80"]->route_clusters, SizeIs(1));
  EXPECT_EQ(destinations_["10.96.0.1:80"]->route_clusters[0]->name, "next");
  // What nothing refers to any more is forgotten.
  Pass(milliseconds(5'001));
  EXPECT_THAT(stream->Last(kClusterUrl).resource_names_unsubscribe(), ElementsAre("web"));
  EXPECT_EQ(client_->resources().size(ResourceType::kCluster), 1);
}

TEST_F(XdsClientRoutesTest, RoutesThatAreRefusedLeaveTheLastOnesInForce) {
  Identify();
  auto* stream = dialer_.open[0];
  Want("10.96.0.1:80");
  SayHttpDestination(stream, "10.96.0.1:80");
  SayRoutes(stream, {"web"});
  SayCluster(stream, "web", 1);
  const auto before = destinations_["10.96.0.1:80"];
  DeltaDiscoveryResponse bad = Response(kRoutesUrl, "r2");
  auto routes = Routes("routes", {"web"});
  routes.mutable_virtual_hosts(0)
      ->mutable_routes(0)
      ->mutable_match()
      ->mutable_safe_regex()
      ->set_regex("(");
  Add("routes", routes, &bad, "v2");
  stream->Say(bad);
  EXPECT_EQ(stream->Last(kRoutesUrl).response_nonce(), "r2");
  EXPECT_THAT(stream->Last(kRoutesUrl).error_detail().message(),
              HasSubstr("routes `routes`.virtual_hosts[0].routes[0].match.safe_regex.regex: is no "
                        "regular expression"));
  EXPECT_EQ(destinations_["10.96.0.1:80"], before);
  // Unknown fields are no different.
  bad = Response(kRoutesUrl, "r3");
  routes = Routes("routes", {"web"});
  // RouteConfiguration.vhds
  routes.GetReflection()->MutableUnknownFields(&routes)->AddLengthDelimited(9, "");
  Add("routes", routes, &bad, "v3");
  stream->Say(bad);
  EXPECT_THAT(stream->Last(kRoutesUrl).error_detail().message(),
              HasSubstr("field 9 of envoy.config.route.v3.RouteConfiguration is not honoured"));
  bad = Response(kRoutesUrl, "r4");
  Add("routes", Routes("other", {"web"}), &bad, "v4");
  stream->Say(bad);
  EXPECT_THAT(stream->Last(kRoutesUrl).error_detail().message(),
              HasSubstr(".name: must be the resource's"));
  EXPECT_EQ(told_, 1);
}

TEST_F(XdsClientRoutesTest, AClusterOfARouteThatThereIsNotIsMissing) {
  Identify();
  auto* stream = dialer_.open[0];
  Want("10.96.0.1:80");
  SayHttpDestination(stream, "10.96.0.1:80");
  SayRoutes(stream, {"web", "gone"});
  SayCluster(stream, "web", 1);
  EXPECT_EQ(told_, 0);
  DeltaDiscoveryResponse removal = Response(kClusterUrl);
  removal.add_removed_resources("gone");
  stream->Say(removal);
  ASSERT_EQ(told_, 1);
  ASSERT_THAT(destinations_["10.96.0.1:80"]->route_clusters, SizeIs(1));
  EXPECT_EQ(destinations_["10.96.0.1:80"]->route_clusters[0]->name, "web");
}

TEST_F(XdsClientRoutesTest, WithoutRoutesNothingMatches) {
  Identify();
  auto* stream = dialer_.open[0];
  Want("10.96.0.1:80");
  SayHttpDestination(stream, "10.96.0.1:80");
  DeltaDiscoveryResponse removal = Response(kRoutesUrl);
  removal.add_removed_resources("routes");
  stream->Say(removal);
  ASSERT_EQ(told_, 1);
  EXPECT_THAT(destinations_["10.96.0.1:80"]->routes->virtual_hosts, IsEmpty());
  ASSERT_NE(destinations_["10.96.0.1:80"]->cluster, nullptr);
  EXPECT_EQ(destinations_["10.96.0.1:80"]->cluster->protocol, config::AppProtocol::kHttp1);
}

TEST_F(XdsClientRoutesTest, RoutesAreSharedAndForgottenWithTheirLastDestination) {
  Identify();
  auto* stream = dialer_.open[0];
  for (const char* address : {"10.96.0.1:80", "10.96.0.2:80"}) {
    Want(address);
    SayHttpDestination(stream, address);
  }
  SayRoutes(stream, {"web"});
  SayCluster(stream, "web", 1);
  EXPECT_EQ(told_, 2);
  EXPECT_EQ(destinations_["10.96.0.1:80"]->routes, destinations_["10.96.0.2:80"]->routes);
  SayRoutes(stream, {"web", "web"}, "r2");
  EXPECT_EQ(told_, 4);
  Pass(milliseconds(650'000));
  Pass(milliseconds(5'001));
  EXPECT_EQ(client_->resources().size(ResourceType::kRoutes), 0);
  EXPECT_EQ(client_->resources().size(ResourceType::kCluster), 0);
  EXPECT_THAT(stream->Last(kRoutesUrl).resource_names_unsubscribe(), ElementsAre("routes"));
}

TEST_F(XdsClientRoutesTest, AReconnectingProxySaysWhichRoutesItHas) {
  Identify();
  SayStanding(dialer_.open[0]);
  Want("10.96.0.1:80");
  SayHttpDestination(dialer_.open[0], "10.96.0.1:80");
  SayRoutes(dialer_.open[0], {"web"}, "r7");
  SayCluster(dialer_.open[0], "web", 1);
  dialer_.open[0]->Close(absl::UnavailableError("gone"));
  Pass(milliseconds(300));
  ASSERT_THAT(dialer_.open, SizeIs(1));
  const DeltaDiscoveryRequest& request = dialer_.open[0]->Last(kRoutesUrl);
  EXPECT_EQ(request.initial_resource_versions().at("routes"), "r7");
  EXPECT_EQ(destinations_["10.96.0.1:80"]->route_clusters.size(), 1);
}

}  // namespace
}  // namespace countersign::xds
