#include "proxy/xds/xds_client.h"

#include <map>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "api/spiffe/testing/test_authority.h"
#include "api/xds/cluster.pb.h"
#include "api/xds/discovery.pb.h"
#include "api/xds/endpoint.pb.h"
#include "api/xds/http_connection_manager.pb.h"
#include "api/xds/http_router.pb.h"
#include "api/xds/listener.pb.h"
#include "api/xds/names.h"
#include "api/xds/route.pb.h"
#include "api/xds/tcp_proxy.pb.h"
#include "gmock/gmock.h"
#include "google/protobuf/text_format.h"
#include "gtest/gtest.h"

namespace countersign::xds {
namespace {

using envoy::service::discovery::v3::DeltaDiscoveryRequest;
using HttpConnectionManager =
    ::envoy::extensions::filters::network::http_connection_manager::v3::HttpConnectionManager;
using envoy::service::discovery::v3::DeltaDiscoveryResponse;
using std::chrono::milliseconds;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;
using ::testing::UnorderedElementsAre;

// A control plane that says what the test tells it to.
class ScriptedDialer final : public identity::ControlDialer {
 public:
  class Stream final : public identity::ControlStream {
   public:
    Stream(ScriptedDialer& dialer, Handler& handler) : handler_(handler), dialer_(dialer) {
      dialer_.open.push_back(this);
    }
    ~Stream() override { std::erase(dialer_.open, this); }
    void Send(std::string message) override {
      ASSERT_TRUE(requests.emplace_back().ParseFromString(message));
    }
    void Say(const DeltaDiscoveryResponse& response) {
      handler_.OnMessage(response.SerializeAsString());
    }
    void Close(const absl::Status& status) { handler_.OnClosed(status); }

    // The last request of this type, acknowledgements included.
    const DeltaDiscoveryRequest& Last(const char* type) const {
      for (auto it = requests.rbegin(); it != requests.rend(); ++it) {
        if (it->type_url() == type) {
          return *it;
        }
      }
      return DeltaDiscoveryRequest::default_instance();
    }

    std::vector<DeltaDiscoveryRequest> requests;

   private:
    Handler& handler_;
    ScriptedDialer& dialer_;
  };

  std::unique_ptr<identity::ControlStream> Open(
      const identity::ControlStreamParams& params,
      identity::ControlStream::Handler& handler) override {
    ++opened;
    last_params = params;
    return std::make_unique<Stream>(*this, handler);
  }

  std::vector<Stream*> open;
  identity::ControlStreamParams last_params;
  int opened = 0;
};

class XdsClientTest : public ::testing::Test, public config::ConfigSink {
 protected:
  XdsClientTest() : clock_(absl::Now()), dispatcher_(clock_), authority_("mesh.test") {
    XdsClientOptions options;
    options.node_id = "default/web";
    options.control_id = *spiffe::SpiffeId::Parse("spiffe://mesh.test/countersign/control");
    options.random = [] { return 0.999; };
    options.max_destinations = 3;
    client_.emplace(options, dialer_, dispatcher_, stats_);
    client_->AddSink(this);
  }

  void OnProxyConfig(std::shared_ptr<const config::ProxyConfig> config) override {
    config_ = std::move(config);
  }
  void OnDestination(const net::Address& address,
                     std::shared_ptr<const config::Destination> destination) override {
    ++told_;
    destinations_[address.ToString()] = std::move(destination);
  }

  void Identify() {
    spiffe::testing::IssuedLeaf leaf = authority_.Issue("spiffe://mesh.test/ns/default/sa/default");
    auto secret = std::make_shared<identity::SecretSnapshot>();
    secret->chain.push_back(spiffe::testing::CertificateFromDer(leaf.chain_der[0]));
    secret->key = std::move(leaf.key);
    secret->bundles = authority_.bundles();
    secret_ = std::move(secret);
    client_->OnSecret(secret_);
  }

  void Want(const char* address) {
    client_->Subscribe(*net::Address::Parse(address));
    Turn();
  }
  void Turn() {
    dispatcher_.RunTurn(false);
    dispatcher_.RunTurn(false);
  }
  void Pass(milliseconds time) {
    clock_.Advance(time);
    Turn();
  }

  static DeltaDiscoveryResponse Response(const char* type, const std::string& nonce = "1") {
    DeltaDiscoveryResponse response;
    response.set_type_url(type);
    response.set_nonce(nonce);
    return response;
  }
  template <typename Message>
  static void Add(const std::string& name, const Message& message, DeltaDiscoveryResponse* response,
                  const std::string& version = "v1") {
    auto* resource = response->add_resources();
    resource->set_name(name);
    resource->set_version(version);
    resource->mutable_resource()->PackFrom(message);
  }
  static envoy::config::listener::v3::FilterChain ChainTo(const std::string& cluster) {
    envoy::config::listener::v3::FilterChain chain;
    envoy::extensions::filters::network::tcp_proxy::v3::TcpProxy proxy;
    proxy.set_cluster(cluster);
    chain.add_filters()->mutable_typed_config()->PackFrom(proxy);
    return chain;
  }
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

  static envoy::config::listener::v3::Listener Destination(const net::Address& address,
                                                           const std::string& cluster) {
    envoy::config::listener::v3::Listener listener;
    listener.set_name(DestinationName(address));
    auto* socket = listener.mutable_address()->mutable_socket_address();
    socket->set_address(address.ip().ToString());
    socket->set_port_value(address.port());
    *listener.add_filter_chains() = ChainTo(cluster);
    return listener;
  }
  static envoy::config::cluster::v3::Cluster Cluster(const std::string& name,
                                                     const std::string& rest) {
    envoy::config::cluster::v3::Cluster cluster;
    EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
        absl::StrCat("name: \"", name, "\" ", rest), &cluster));
    return cluster;
  }
  static envoy::config::endpoint::v3::ClusterLoadAssignment Endpoints(const std::string& name,
                                                                      int count) {
    envoy::config::endpoint::v3::ClusterLoadAssignment out;
    out.set_cluster_name(name);
    for (int i = 0; i < count; ++i) {
      auto* socket = out.add_endpoints()
                         ->add_lb_endpoints()
                         ->mutable_endpoint()
                         ->mutable_address()
                         ->mutable_socket_address();
      socket->set_address(absl::StrCat("10.0.0.", i + 1));
      socket->set_port_value(80);
    }
    return out;
  }

  void SayStanding(ScriptedDialer::Stream* stream) {
    DeltaDiscoveryResponse clusters = Response(kClusterUrl, "c1");
    Add("Pass", Cluster("Pass", "type: ORIGINAL_DST"), &clusters);
    stream->Say(clusters);
    DeltaDiscoveryResponse listeners = Response(kListenerUrl, "l1");
    envoy::config::listener::v3::Listener inbound, outbound;
    inbound.set_name("inbound");
    *inbound.add_filter_chains() = ChainTo("Pass");
    outbound.set_name("outbound");
    *outbound.mutable_default_filter_chain() = ChainTo("Pass");
    Add("inbound", inbound, &listeners);
    Add("outbound", outbound, &listeners);
    stream->Say(listeners);
  }
  void SayDestination(ScriptedDialer::Stream* stream, const char* address, int endpoints) {
    const net::Address at = *net::Address::Parse(address);
    DeltaDiscoveryResponse clusters = Response(kClusterUrl, "c2");
    Add("web", Cluster("web", "type: EDS eds_cluster_config { eds_config { ads {} } }"), &clusters);
    stream->Say(clusters);
    DeltaDiscoveryResponse assignments = Response(kEndpointsUrl, "e2");
    Add("web", Endpoints("web", endpoints), &assignments);
    stream->Say(assignments);
    DeltaDiscoveryResponse listeners = Response(kListenerUrl, "l2");
    Add(DestinationName(at), Destination(at, "web"), &listeners);
    stream->Say(listeners);
  }

  event::SimulatedClock clock_;
  event::Dispatcher dispatcher_;
  stats::Registry stats_;
  spiffe::testing::TestAuthority authority_;
  ScriptedDialer dialer_;
  std::shared_ptr<const identity::SecretSnapshot> secret_;
  std::optional<XdsClient> client_;
  std::shared_ptr<const config::ProxyConfig> config_;
  std::map<std::string, std::shared_ptr<const config::Destination>> destinations_;
  int told_ = 0;
};

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

TEST_F(XdsClientTest, AnHttpDestinationIsToldWhenRoutesClustersAndEndpointsAreThere) {
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
}

TEST_F(XdsClientTest, NewRoutesTakeEffectWhenTheirClustersAreThere) {
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

TEST_F(XdsClientTest, RoutesThatAreRefusedLeaveTheLastOnesInForce) {
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

TEST_F(XdsClientTest, AClusterOfARouteThatThereIsNotIsMissing) {
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

TEST_F(XdsClientTest, WithoutRoutesNothingMatches) {
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

TEST_F(XdsClientTest, RoutesAreSharedAndForgottenWithTheirLastDestination) {
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

TEST_F(XdsClientTest, AReconnectingProxySaysWhichRoutesItHas) {
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
