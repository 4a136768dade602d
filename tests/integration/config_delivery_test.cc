// From a YAML file to what a proxy's workers are told: the real folder, the real ADS server over
// TLS on loopback, the real xDS client.
#include <grpcpp/security/server_credentials.h>
#include <grpcpp/server.h>
#include <grpcpp/server_builder.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>
#include <stdlib.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iostream>
#include <iterator>
#include <map>
#include <memory>
#include <optional>
#include <string>

#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "api/spiffe/testing/test_authority.h"
#include "control/ads/ads_server.h"
#include "control/registry/file/file_registry.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"
#include "proxy/event/dispatcher.h"
#include "proxy/identity/grpc_control_dialer.h"
#include "proxy/stats/registry.h"
#include "proxy/xds/xds_client.h"

namespace countersign {
namespace {

using config::Destination;
using config::EndpointTransport;
using config::MtlsMode;
using spiffe::testing::TestAuthority;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kControl[] = "spiffe://mesh.test/countersign/control";
constexpr char kWeb[] = "spiffe://mesh.test/ns/default/sa/web";
constexpr char kDb[] = "spiffe://mesh.test/ns/default/sa/db";

constexpr char kMesh[] = R"(
apiVersion: countersign.dev/v1alpha1
kind: Mesh
metadata: {name: default}
spec:
  trustDomain: mesh.test
---
apiVersion: countersign.dev/v1alpha1
kind: ExternalWorkload
metadata: {name: web-1, labels: {app: web}}
spec:
  addresses: [10.0.0.1, "fd00::1"]
  serviceAccount: web
---
apiVersion: countersign.dev/v1alpha1
kind: ExternalWorkload
metadata: {name: db-1, labels: {app: db}}
spec:
  addresses: [10.0.0.2, "fd00::2"]
  serviceAccount: db
  ports: [{name: sql, port: 5432}]
---
apiVersion: countersign.dev/v1alpha1
kind: ExternalWorkload
metadata: {name: legacy, labels: {app: legacy}}
spec:
  addresses: [10.0.0.9]
  tunnel: NONE
---
apiVersion: v1
kind: Service
metadata: {name: db}
spec:
  selector: {app: db}
  clusterIPs: [10.96.0.1, "fd96::1"]
  ports: [{port: 5432, targetPort: sql}]
)";

constexpr char kStrict[] = R"(
apiVersion: countersign.dev/v1alpha1
kind: PeerAuthentication
metadata: {name: db-strict}
spec:
  selector: {matchLabels: {app: web}}
  mtls: {mode: STRICT}
  portLevelMtls:
    9090: {mode: DISABLE}
)";

net::Address At(const char* text) { return *net::Address::Parse(text); }

// A proxy without its byte path: everything that workers would be told, on one thread.
class Proxy final : public config::ConfigSink {
 public:
  Proxy(const std::string& target, const std::string& node, event::Dispatcher& dispatcher)
      : dialer_(target,
                [&dispatcher](std::function<void()> call) { dispatcher.Post(std::move(call)); }),
        client_({.node_id = node,
                 .control_id = *spiffe::SpiffeId::Parse(kControl),
                 .random = [] { return 0.5; },
                 .backoff_base = std::chrono::milliseconds(20),
                 .backoff_cap = std::chrono::milliseconds(100),
                 .idle = std::chrono::milliseconds(idle_ms),
                 .sweep = std::chrono::milliseconds(50)},
                dialer_, dispatcher, stats_) {
    client_.AddSink(this);
  }

  void Identify(const TestAuthority& authority, const std::string& id, uint64_t generation = 1,
                absl::Time not_after = absl::Now() + absl::Hours(1)) {
    spiffe::testing::LeafOptions options;
    options.uris = {id};
    options.not_after = not_after;
    spiffe::testing::IssuedLeaf leaf = authority.Intermediate().Issue(options);
    auto secret = std::make_shared<identity::SecretSnapshot>();
    secret->generation = generation;
    secret->id = *spiffe::SpiffeId::Parse(id);
    for (const std::string& der : leaf.chain_der) {
      secret->chain.push_back(spiffe::testing::CertificateFromDer(der));
    }
    secret->key = std::move(leaf.key);
    secret->bundles = authority.bundles();
    secret->deny_list = std::make_shared<const spiffe::DenyList>();
    client_.OnSecret(std::move(secret));
  }

  void OnProxyConfig(std::shared_ptr<const config::ProxyConfig> config) override {
    config_ = std::move(config);
  }
  void OnDestination(const net::Address& address,
                     std::shared_ptr<const Destination> destination) override {
    if (destination == nullptr) {
      destinations_.erase(address.ToString());
    } else {
      destinations_[address.ToString()] = std::move(destination);
    }
  }

  const Destination* Find(const char* address) const {
    auto it = destinations_.find(address);
    return it == destinations_.end() ? nullptr : it->second.get();
  }

  static inline int idle_ms = 600'000;

  stats::Registry stats_;
  identity::GrpcControlDialer dialer_;
  xds::XdsClient client_;
  std::shared_ptr<const config::ProxyConfig> config_;
  std::map<std::string, std::shared_ptr<const Destination>> destinations_;
};

class ConfigDeliveryTest : public ::testing::Test {
 protected:
  ConfigDeliveryTest() : authority_("mesh.test") {
    char path[] = "/tmp/config_delivery_XXXXXX";
    folder_ = mkdtemp(path);
    bundles_ = authority_.bundles();
  }
  ~ConfigDeliveryTest() override {
    Stop();
    std::filesystem::remove_all(folder_);
  }

  void Write(const std::string& name, const std::string& text) {
    std::ofstream(folder_ + "/" + name) << text;
  }

  void Start() {
    metrics_ = std::make_unique<prometheus::Registry>();
    ads_ = std::make_unique<control::ads::AdsServer>(
        [this] {
          return control::ads::AdsServer::Trust{bundles_, deny_list_};
        },
        *metrics_);
    registry_ = std::make_unique<control::registry::FileRegistry>(
        control::registry::FileRegistry::Options{.directory = folder_}, *metrics_);
    registry_->Subscribe([this](auto model) { ads_->OnModel(std::move(model)); });
    ASSERT_TRUE(registry_->Start().ok());
    grpc::SslServerCredentialsOptions options(GRPC_SSL_REQUEST_CLIENT_CERTIFICATE_BUT_DONT_VERIFY);
    const spiffe::testing::IssuedLeaf leaf = authority_.Intermediate().Issue(kControl);
    options.pem_key_cert_pairs.push_back({leaf.key_pem, leaf.chain_pem});
    grpc::ServerBuilder builder;
    builder.AddListeningPort(absl::StrCat("127.0.0.1:", port_), grpc::SslServerCredentials(options),
                             &port_);
    builder.RegisterService(ads_->service());
    server_ = builder.BuildAndStart();
    ASSERT_NE(server_, nullptr);
  }

  void Stop() {
    if (registry_ != nullptr) {
      registry_->Stop();
      ads_->Shutdown();
      server_->Shutdown(std::chrono::system_clock::now() + std::chrono::seconds(1));
      server_.reset();
      registry_.reset();
      ads_.reset();
    }
  }

  std::unique_ptr<Proxy> NewProxy(const std::string& node) {
    return std::make_unique<Proxy>(absl::StrCat("127.0.0.1:", port_), node, dispatcher_);
  }

  // Turns the main loop until `done`, for at most ten seconds.
  bool RunUntil(const std::function<bool()>& done) {
    const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(10);
    while (!done()) {
      if (std::chrono::steady_clock::now() > deadline) {
        return false;
      }
      dispatcher_.RunTurn(false);
      absl::SleepFor(absl::Milliseconds(1));
    }
    return true;
  }

  std::string Metrics() const {
    return prometheus::TextSerializer().Serialize(metrics_->Collect());
  }

  TestAuthority authority_;
  std::string folder_;
  std::shared_ptr<const spiffe::BundleSet> bundles_;
  std::shared_ptr<const spiffe::DenyList> deny_list_ = std::make_shared<const spiffe::DenyList>();
  int port_ = 0;
  std::unique_ptr<prometheus::Registry> metrics_;
  std::unique_ptr<control::ads::AdsServer> ads_;
  std::unique_ptr<control::registry::FileRegistry> registry_;
  std::unique_ptr<grpc::Server> server_;
  event::Dispatcher dispatcher_;
};

TEST_F(ConfigDeliveryTest, AProxyLearnsItsOwnPolicyAndWhereItsDestinationsAre) {
  Write("mesh.yaml", kMesh);
  Write("strict.yaml", kStrict);
  Start();
  auto proxy = NewProxy("default/web-1");
  proxy->Identify(authority_, kWeb);
  ASSERT_TRUE(RunUntil([&] { return proxy->config_ != nullptr; })) << proxy->client_.last_error();
  EXPECT_EQ(proxy->config_->inbound.For(80).mode, MtlsMode::kStrict);
  EXPECT_EQ(proxy->config_->inbound.For(80).policy, "default/db-strict");
  EXPECT_EQ(proxy->config_->inbound.For(9090).mode, MtlsMode::kDisable);
  EXPECT_EQ(proxy->config_->outbound.mode, config::OutboundPolicy::Mode::kAllowAny);
  EXPECT_EQ(proxy->config_->outbound.name, "countersign-system/default");

  for (const char* address :
       {"10.96.0.1:5432", "[fd96::1]:5432", "10.0.0.2:5432", "10.0.0.9:80", "192.0.2.1:443"}) {
    proxy->client_.Subscribe(At(address));
  }
  ASSERT_TRUE(RunUntil([&] { return proxy->destinations_.size() == 5; }));

  const Destination* v4 = proxy->Find("10.96.0.1:5432");
  ASSERT_EQ(v4->kind, Destination::Kind::kCluster);
  EXPECT_EQ(v4->cluster->service, "db");
  EXPECT_EQ(v4->cluster->service_namespace, "default");
  ASSERT_EQ(v4->cluster->endpoints.size(), 1);
  const config::Endpoint& endpoint = v4->cluster->endpoints[0];
  EXPECT_EQ(endpoint.address, At("10.0.0.2:5432"));
  EXPECT_EQ(endpoint.transport, EndpointTransport::kHbone);
  EXPECT_EQ(endpoint.tunnel, At("10.0.0.2:15008"));
  EXPECT_EQ(endpoint.identity.ToString(), kDb);
  EXPECT_EQ(endpoint.workload, "db-1");
  EXPECT_EQ(endpoint.workload_namespace, "default");

  EXPECT_EQ(proxy->Find("[fd96::1]:5432")->cluster->endpoints[0].address, At("[fd00::2]:5432"));
  EXPECT_EQ(proxy->Find("10.0.0.2:5432")->cluster->endpoints[0].identity.ToString(), kDb);
  EXPECT_EQ(proxy->Find("10.0.0.9:80")->cluster->endpoints[0].transport,
            EndpointTransport::kPlaintext);
  EXPECT_EQ(proxy->Find("192.0.2.1:443")->kind, Destination::Kind::kUnknown);
}

TEST_F(ConfigDeliveryTest, AChangedLineIsInForceAtTheProxyInUnderASecond) {
  Write("mesh.yaml", kMesh);
  Start();
  auto proxy = NewProxy("default/web-1");
  proxy->Identify(authority_, kWeb);
  ASSERT_TRUE(RunUntil([&] { return proxy->config_ != nullptr; }));
  ASSERT_EQ(proxy->config_->inbound.For(80).mode, MtlsMode::kPermissive);
  const absl::Time begin = absl::Now();
  Write("strict.yaml", kStrict);
  ASSERT_TRUE(RunUntil([&] { return proxy->config_->inbound.For(80).mode == MtlsMode::kStrict; }));
  RecordProperty("milliseconds", absl::ToInt64Milliseconds(absl::Now() - begin));
  EXPECT_LT(absl::Now() - begin, absl::Seconds(1));
  ASSERT_TRUE(RunUntil([&] {
    return Metrics().find("countersign_control_ads_event_to_ack_seconds_count 1") !=
           std::string::npos;
  })) << Metrics();
}

constexpr char kShop[] = R"(
apiVersion: countersign.dev/v1alpha1
kind: ExternalWorkload
metadata: {name: shop-1, labels: {app: shop}}
spec: {addresses: [10.0.1.1], serviceAccount: shop, locality: eu/a}
---
apiVersion: countersign.dev/v1alpha1
kind: ExternalWorkload
metadata: {name: canary-1, labels: {app: canary}}
spec: {addresses: [10.0.1.2], serviceAccount: shop, tunnel: HBONE_ONLY}
---
apiVersion: v1
kind: Service
metadata: {name: shop}
spec:
  selector: {app: shop}
  clusterIP: 10.96.1.1
  ports: [{name: http, port: 80}, {name: web, port: 81}, {name: tcp, port: 82}, {name: x, port: 83, appProtocol: kubernetes.io/h2c}]
---
apiVersion: v1
kind: Service
metadata: {name: canary}
spec: {selector: {app: canary}, clusterIP: 10.96.1.2, ports: [{name: http, port: 80}]}
)";

std::string Canary(int weight) {
  return absl::StrCat(R"(
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop}
spec:
  parentRefs: [{kind: Service, name: shop, port: 80}]
  rules:
  - backendRefs: [{name: shop, port: 80, weight: )",
                      100 - weight, "}, {name: canary, port: 80, weight: ", weight, "}]\n");
}

TEST_F(ConfigDeliveryTest, WhatAPortSpeaksAndWhereItsRequestsGoReachTheProxy) {
  Write("mesh.yaml", kMesh);
  Write("shop.yaml", kShop);
  Start();
  auto proxy = NewProxy("default/shop-1");
  proxy->Identify(authority_, "spiffe://mesh.test/ns/default/sa/shop");
  ASSERT_TRUE(RunUntil([&] { return proxy->config_ != nullptr; })) << proxy->client_.last_error();
  using config::AppProtocol;
  const config::InboundPolicy& inbound = proxy->config_->inbound;
  EXPECT_EQ(inbound.For(80).protocol, AppProtocol::kHttp1);
  EXPECT_EQ(inbound.For(80).service, "shop");
  EXPECT_EQ(inbound.For(81).protocol, AppProtocol::kAuto);
  EXPECT_EQ(inbound.For(82).protocol, AppProtocol::kTcp);
  EXPECT_EQ(inbound.For(83).protocol, AppProtocol::kHttp2);
  EXPECT_EQ(inbound.For(9999).protocol, AppProtocol::kAuto);
  EXPECT_EQ(proxy->config_->locality, (config::Locality{"eu", "a", ""}));
  EXPECT_EQ(proxy->config_->http, config::HttpOptions());

  const char* addresses[] = {"10.96.1.1:80", "10.96.1.1:81", "10.96.1.1:82", "10.96.1.1:83",
                             "10.96.1.2:80", "10.0.1.1:80",  "10.0.1.1:7777"};
  for (const char* address : addresses) {
    proxy->client_.Subscribe(At(address));
  }
  ASSERT_TRUE(RunUntil([&] { return proxy->destinations_.size() == std::size(addresses); }));
  const struct {
    const char* address;
    AppProtocol protocol;
  } expected[] = {{"10.96.1.1:80", AppProtocol::kHttp1}, {"10.96.1.1:81", AppProtocol::kAuto},
                  {"10.96.1.1:82", AppProtocol::kTcp},   {"10.96.1.1:83", AppProtocol::kHttp2},
                  {"10.0.1.1:80", AppProtocol::kHttp1},  {"10.0.1.1:7777", AppProtocol::kAuto}};
  for (const auto& one : expected) {
    const Destination* destination = proxy->Find(one.address);
    EXPECT_EQ(destination->cluster->protocol, one.protocol) << one.address;
    if (one.protocol == AppProtocol::kTcp) {
      EXPECT_EQ(destination->routes, nullptr);
      continue;
    }
    ASSERT_NE(destination->routes, nullptr) << one.address;
    const config::VirtualHost& host = destination->routes->virtual_hosts.at(0);
    EXPECT_EQ(host.domains, std::vector<std::string>{"*"});
    const config::ForwardAction& forward = host.routes.at(0).forward;
    EXPECT_EQ(forward.clusters.at(0).cluster, destination->cluster->name);
    EXPECT_EQ(forward.retry.on, config::kDefaultRetryOn);
    EXPECT_EQ(forward.retry.num_retries, 2);
    EXPECT_EQ(forward.timeout.count(), 0);
    EXPECT_TRUE(forward.upgrade_websocket);
    EXPECT_EQ(destination->route_clusters.at(0), destination->cluster);
  }
  EXPECT_TRUE(proxy->Find("10.96.1.1:80")->cluster->endpoints.at(0).mesh_http);
  EXPECT_FALSE(proxy->Find("10.96.1.2:80")->cluster->endpoints.at(0).mesh_http);
}

TEST_F(ConfigDeliveryTest, ACanarysWeightIsInForceInUnderASecondWithItsClusters) {
  Write("mesh.yaml", kMesh);
  Write("shop.yaml", kShop);
  Start();
  auto proxy = NewProxy("default/web-1");
  proxy->Identify(authority_, kWeb);
  proxy->client_.Subscribe(At("10.96.1.1:80"));
  ASSERT_TRUE(RunUntil([&] { return proxy->destinations_.size() == 1; }));
  const auto weight = [&] {
    const auto& clusters =
        proxy->Find("10.96.1.1:80")->routes->virtual_hosts.at(0).routes.at(0).forward.clusters;
    return clusters.size() < 2 ? 0 : clusters.at(1).weight;
  };
  ASSERT_EQ(weight(), 0);
  absl::Duration slowest = absl::ZeroDuration();
  for (int step : {1, 10, 50, 90}) {
    const absl::Time begin = absl::Now();
    Write("canary.yaml", Canary(step));
    ASSERT_TRUE(RunUntil([&] { return weight() == static_cast<uint32_t>(step); })) << step;
    slowest = std::max(slowest, absl::Now() - begin);
    // Never a route without its cluster.
    const Destination& destination = *proxy->Find("10.96.1.1:80");
    ASSERT_EQ(destination.route_clusters.size(), 2);
    EXPECT_EQ(destination.route_clusters[0]->name, "service/default/canary:80/v4");
    EXPECT_EQ(destination.route_clusters[0]->endpoints.size(), 1);
  }
  RecordProperty("slowest_milliseconds", absl::ToInt64Milliseconds(slowest));
  std::cout << "slowest change of weights: " << absl::FormatDuration(slowest) << "\n";
  EXPECT_LT(slowest, absl::Seconds(1));
  // A bad route leaves the last one in force; without any, requests go to the Service itself.
  Write("canary.yaml", Canary(101));
  ASSERT_TRUE(RunUntil([&] { return !registry_->Errors().empty(); }));
  EXPECT_THAT(registry_->Errors()[0].ToString(), HasSubstr("backendRefs[0].weight"));
  EXPECT_EQ(weight(), 90);
  std::filesystem::remove(folder_ + "/canary.yaml");
  ASSERT_TRUE(RunUntil([&] { return weight() == 0; }));
  // The canary's cluster is not needed any more.
  ASSERT_TRUE(RunUntil(
      [&] { return proxy->client_.resources().size(xds::ResourceType::kEndpoints) == 1; }));
}

TEST_F(ConfigDeliveryTest, ARouteToAServiceThatComesLaterFindsItWhenItIsThere) {
  Write("mesh.yaml", kMesh);
  Write("shop.yaml", std::string(kShop).substr(0, std::string(kShop).rfind("---")));
  Write("canary.yaml", Canary(10));
  Start();
  auto proxy = NewProxy("default/web-1");
  proxy->Identify(authority_, kWeb);
  proxy->client_.Subscribe(At("10.96.1.1:80"));
  ASSERT_TRUE(RunUntil([&] { return proxy->destinations_.size() == 1; }));
  EXPECT_EQ(proxy->Find("10.96.1.1:80")->route_clusters.size(), 1);
  Write("shop.yaml", kShop);
  ASSERT_TRUE(RunUntil([&] { return proxy->Find("10.96.1.1:80")->route_clusters.size() == 2; }));
}

TEST_F(ConfigDeliveryTest, ATrafficPolicyAndTheMeshsHttpSettingsReachTheProxy) {
  Write("mesh.yaml", kMesh);
  Write("shop.yaml", kShop);
  Start();
  auto proxy = NewProxy("default/web-1");
  proxy->Identify(authority_, kWeb);
  proxy->client_.Subscribe(At("10.96.1.1:80"));
  ASSERT_TRUE(
      RunUntil([&] { return proxy->config_ != nullptr && proxy->destinations_.size() == 1; }));
  Write("policy.yaml", R"(
apiVersion: countersign.dev/v1alpha1
kind: TrafficPolicy
metadata: {name: shop}
spec:
  targetRef: {name: shop}
  loadBalancer: {simple: PEAK_EWMA}
  connectionPool: {http: {http2MaxRequests: 7}}
  timeout: 3s
  fault: {abort: {percentage: {value: 50}, httpStatus: 503}}
)");
  std::string mesh = kMesh;
  mesh.insert(mesh.find("  trustDomain"),
              "  http: {escapedSlashes: KEEP, forwardClientCert: RFC9440}\n"
              "  tracing: {randomSamplingPercentage: 1}\n");
  Write("mesh.yaml", mesh);
  ASSERT_TRUE(RunUntil([&] {
    return proxy->config_->http.trace_per_million == 10'000 &&
           proxy->Find("10.96.1.1:80")->cluster->breakers.max_requests == 7 &&
           proxy->Find("10.96.1.1:80")
                   ->routes->virtual_hosts[0]
                   .routes[0]
                   .fault.abort_per_million == 500'000;
  }));
  EXPECT_EQ(proxy->Find("10.96.1.1:80")->cluster->lb_policy, config::LbPolicy::kPeakEwma);
  EXPECT_EQ(proxy->Find("10.96.1.1:80")->routes->virtual_hosts[0].routes[0].forward.timeout.count(),
            3000);
  EXPECT_EQ(proxy->config_->http.escaped_slashes, config::HttpOptions::EscapedSlashes::kKeep);
  EXPECT_EQ(proxy->config_->http.forward_client_cert,
            config::HttpOptions::ForwardClientCert::kRfc9440);
}

TEST_F(ConfigDeliveryTest, ABadFileChangesNothingAndIsReported) {
  Write("mesh.yaml", kMesh);
  Write("strict.yaml", kStrict);
  Start();
  auto proxy = NewProxy("default/web-1");
  proxy->Identify(authority_, kWeb);
  ASSERT_TRUE(RunUntil([&] { return proxy->config_ != nullptr; }));
  const auto before = proxy->config_;
  Write("strict.yaml",
        "apiVersion: countersign.dev/v1alpha1\nkind: PeerAuthentication\n"
        "metadata: {name: db-strict}\nspec:\n  mtls: {mode: STRCIT}\n");
  ASSERT_TRUE(RunUntil([&] { return !registry_->Errors().empty(); }));
  EXPECT_EQ(registry_->Errors()[0].ToString(),
            folder_ +
                "/strict.yaml:5:16: PeerAuthentication/default/db-strict: spec.mtls.mode: "
                "must be one of UNSET, DISABLE, PERMISSIVE, STRICT, not `STRCIT`");
  EXPECT_THAT(Metrics(), HasSubstr(absl::StrCat("countersign_control_config_errors{file=\"",
                                                folder_, "/strict.yaml\"} 1")));
  EXPECT_EQ(proxy->config_, before);
  EXPECT_EQ(registry_->Current()->version(), 1);
}

TEST_F(ConfigDeliveryTest, AnotherIdentitysConfigurationIsRefused) {
  Write("mesh.yaml", kMesh);
  Start();
  auto proxy = NewProxy("default/web-1");
  proxy->Identify(authority_, kDb);
  ASSERT_TRUE(RunUntil([&] {
    return proxy->client_.last_error().find("may not") != std::string::npos;
  })) << proxy->client_.last_error();
  EXPECT_EQ(proxy->config_, nullptr);
  EXPECT_THAT(Metrics(),
              HasSubstr("countersign_control_ads_streams_total{result=\"permission_denied\"}"));
}

TEST_F(ConfigDeliveryTest, AForeignAuthoritysCertificateIsRefused) {
  Write("mesh.yaml", kMesh);
  Start();
  auto proxy = NewProxy("default/web-1");
  // Trusts the control plane, but presents a certificate of an authority that only has the name.
  TestAuthority imposter("mesh.test");
  const auto real = authority_.bundles();
  spiffe::testing::IssuedLeaf leaf = imposter.Issue(kWeb);
  auto secret = std::make_shared<identity::SecretSnapshot>();
  secret->id = *spiffe::SpiffeId::Parse(kWeb);
  for (const std::string& der : leaf.chain_der) {
    secret->chain.push_back(spiffe::testing::CertificateFromDer(der));
  }
  secret->key = std::move(leaf.key);
  secret->bundles = real;
  secret->deny_list = std::make_shared<const spiffe::DenyList>();
  proxy->client_.OnSecret(std::move(secret));
  ASSERT_TRUE(
      RunUntil([&] { return Metrics().find("result=\"unauthenticated\"") != std::string::npos; }));
  EXPECT_EQ(proxy->config_, nullptr);
}

TEST_F(ConfigDeliveryTest, EverythingStaysInForceWithoutTheControlPlaneAndFollowsItsReturn) {
  Write("mesh.yaml", kMesh);
  Start();
  auto proxy = NewProxy("default/web-1");
  proxy->Identify(authority_, kWeb);
  proxy->client_.Subscribe(At("10.96.0.1:5432"));
  ASSERT_TRUE(
      RunUntil([&] { return proxy->config_ != nullptr && proxy->destinations_.size() == 1; }));
  Stop();
  ASSERT_TRUE(RunUntil([&] { return !proxy->client_.connected(); }));
  EXPECT_NE(proxy->config_, nullptr);
  EXPECT_EQ(proxy->Find("10.96.0.1:5432")->cluster->endpoints.size(), 1);
  // Asked while it is away, answered when it is back; what was missed arrives too.
  proxy->client_.Subscribe(At("10.0.0.9:80"));
  Write("strict.yaml", kStrict);
  Start();
  ASSERT_TRUE(RunUntil([&] {
    return proxy->client_.connected() && proxy->destinations_.size() == 2 &&
           proxy->config_->inbound.For(80).mode == MtlsMode::kStrict;
  }));
}

TEST_F(ConfigDeliveryTest, ANewCertificateMovesTheStreamWithoutLosingAnything) {
  Write("mesh.yaml", kMesh);
  Start();
  auto proxy = NewProxy("default/web-1");
  proxy->Identify(authority_, kWeb);
  proxy->client_.Subscribe(At("10.96.0.1:5432"));
  ASSERT_TRUE(
      RunUntil([&] { return proxy->config_ != nullptr && proxy->destinations_.size() == 1; }));
  proxy->Identify(authority_, kWeb, 2);
  EXPECT_TRUE(proxy->client_.connected());
  ASSERT_TRUE(RunUntil([&] {
    return Metrics().find("countersign_control_ads_streams_total{result=\"accepted\"} 2") !=
               std::string::npos &&
           Metrics().find("countersign_control_ads_streams 1") != std::string::npos;
  })) << Metrics();
  EXPECT_TRUE(proxy->client_.connected());
  Write("strict.yaml", kStrict);
  ASSERT_TRUE(RunUntil([&] { return proxy->config_->inbound.For(80).mode == MtlsMode::kStrict; }));
}

TEST_F(ConfigDeliveryTest, AStreamEndsWhenThePeersCertificateExpires) {
  Write("mesh.yaml", kMesh);
  Start();
  auto proxy = NewProxy("default/web-1");
  proxy->Identify(authority_, kWeb, 1, absl::Now() + absl::Seconds(3));
  ASSERT_TRUE(RunUntil([&] { return proxy->client_.connected(); }));
  ASSERT_TRUE(RunUntil([&] { return !proxy->client_.connected(); }));
  EXPECT_THAT(proxy->client_.last_error(), HasSubstr("expired"));
}

TEST_F(ConfigDeliveryTest, ADeniedPeersStreamEndsAtOnce) {
  Write("mesh.yaml", kMesh);
  Start();
  auto proxy = NewProxy("default/web-1");
  proxy->Identify(authority_, kWeb);
  ASSERT_TRUE(RunUntil([&] { return proxy->client_.connected(); }));
  auto denied = std::make_shared<spiffe::DenyList>(2);
  denied->AddId(*spiffe::SpiffeId::Parse(kWeb));
  deny_list_ = std::move(denied);
  ads_->OnTrustChanged();
  ASSERT_TRUE(RunUntil([&] { return !proxy->client_.connected(); }));
  EXPECT_NE(proxy->config_, nullptr);
}

TEST_F(ConfigDeliveryTest, AnEndpointThatComesOrGoesReachesItsSubscribers) {
  Write("mesh.yaml", kMesh);
  Start();
  auto proxy = NewProxy("default/web-1");
  proxy->Identify(authority_, kWeb);
  proxy->client_.Subscribe(At("10.96.0.1:5432"));
  ASSERT_TRUE(RunUntil([&] { return proxy->destinations_.size() == 1; }));
  const std::string db2 =
      "apiVersion: countersign.dev/v1alpha1\nkind: ExternalWorkload\n"
      "metadata: {name: db-2, labels: {app: db}}\n"
      "spec: {addresses: [10.0.0.3], serviceAccount: db, ports: [{name: sql, port: 15432}]}\n";
  Write("db2.yaml", db2);
  ASSERT_TRUE(
      RunUntil([&] { return proxy->Find("10.96.0.1:5432")->cluster->endpoints.size() == 2; }));
  EXPECT_EQ(proxy->Find("10.96.0.1:5432")->cluster->endpoints[1].address, At("10.0.0.3:15432"));
  EXPECT_THAT(Metrics(), HasSubstr("ads_resources_sent_total{type=\"endpoints\"} 2"));
  EXPECT_THAT(Metrics(), HasSubstr("ads_resources_sent_total{type=\"cluster\"} 3"));
  std::filesystem::remove(folder_ + "/db2.yaml");
  ASSERT_TRUE(
      RunUntil([&] { return proxy->Find("10.96.0.1:5432")->cluster->endpoints.size() == 1; }));
  // A new Service at an address that was unknown.
  proxy->client_.Subscribe(At("10.96.0.7:80"));
  ASSERT_TRUE(RunUntil([&] { return proxy->Find("10.96.0.7:80") != nullptr; }));
  EXPECT_EQ(proxy->Find("10.96.0.7:80")->kind, Destination::Kind::kUnknown);
  Write("web.yaml",
        "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"
        "spec: {selector: {app: web}, clusterIP: 10.96.0.7, ports: [{port: 80}]}\n");
  ASSERT_TRUE(
      RunUntil([&] { return proxy->Find("10.96.0.7:80")->kind == Destination::Kind::kCluster; }));
}

TEST_F(ConfigDeliveryTest, WhatIsNotUsedIsForgottenOnBothSides) {
  Write("mesh.yaml", kMesh);
  Start();
  Proxy::idle_ms = 300;
  auto proxy = NewProxy("default/web-1");
  Proxy::idle_ms = 600'000;
  proxy->Identify(authority_, kWeb);
  proxy->client_.Subscribe(At("10.96.0.1:5432"));
  ASSERT_TRUE(RunUntil([&] { return proxy->destinations_.size() == 1; }));
  ASSERT_TRUE(RunUntil([&] { return proxy->destinations_.empty(); }));
  ASSERT_TRUE(RunUntil(
      [&] { return proxy->client_.resources().size(xds::ResourceType::kEndpoints) == 0; }));
  proxy->client_.Subscribe(At("10.96.0.1:5432"));
  ASSERT_TRUE(RunUntil([&] { return proxy->destinations_.size() == 1; }));
}

TEST_F(ConfigDeliveryTest, AProxyWithoutANameIsKnownByItsIdentity) {
  Write("mesh.yaml", kMesh);
  Start();
  auto proxy = NewProxy("");
  proxy->Identify(authority_, kWeb);
  ASSERT_TRUE(RunUntil([&] { return proxy->config_ != nullptr; })) << proxy->client_.last_error();
}

TEST_F(ConfigDeliveryTest, AWorkloadThatIsRemovedLosesItsStream) {
  Write("mesh.yaml", kMesh);
  Write("extra.yaml",
        "apiVersion: countersign.dev/v1alpha1\nkind: ExternalWorkload\n"
        "metadata: {name: batch}\nspec: {addresses: [10.0.0.77], serviceAccount: batch}\n");
  Start();
  auto proxy = NewProxy("default/batch");
  proxy->Identify(authority_, "spiffe://mesh.test/ns/default/sa/batch");
  ASSERT_TRUE(RunUntil([&] { return proxy->client_.connected(); }));
  std::filesystem::remove(folder_ + "/extra.yaml");
  ASSERT_TRUE(RunUntil([&] { return !proxy->client_.connected(); }));
  EXPECT_THAT(proxy->client_.last_error(), HasSubstr("there is no workload default/batch"));
}

}  // namespace
}  // namespace countersign
