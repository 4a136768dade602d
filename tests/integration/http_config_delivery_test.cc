// What proxies are told of HTTP: protocols, routes, policies.
#include <algorithm>
#include <filesystem>
#include <iostream>
#include <iterator>
#include <string>
#include <vector>

#include "gmock/gmock.h"
#include "tests/integration/config_delivery_fixture.h"

namespace countersign {
namespace {

using config::Destination;
using ::testing::HasSubstr;

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
           proxy->Find("10.96.1.1:80")->http.escaped_slashes ==
               config::HttpOptions::EscapedSlashes::kKeep &&
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

std::string RouteOfOthers(const char* ns) {
  return absl::StrCat(R"(
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: shop, namespace: )",
                      ns, R"(}
spec:
  parentRefs: [{kind: Service, name: shop, namespace: default, port: 80}]
  rules: [{backendRefs: [{name: cache, namespace: caches, port: 80}]}]
)");
}
constexpr char kGrant[] = R"(
apiVersion: gateway.networking.k8s.io/v1beta1
kind: ReferenceGrant
metadata: {name: g, namespace: caches}
spec:
  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: readers}]
  to: [{group: "", kind: Service}]
)";
constexpr char kReaders[] = R"(
apiVersion: countersign.dev/v1alpha1
kind: ExternalWorkload
metadata: {name: reader, namespace: readers}
spec: {addresses: [10.0.1.9]}
---
apiVersion: v1
kind: Service
metadata: {name: cache, namespace: caches}
spec: {clusterIP: 10.96.1.9, ports: [{name: http, port: 80}]}
)";

TEST_F(ConfigDeliveryTest, ConsumersRoutesReachTheirNamespaceAloneAndLastAsLongAsTheirGrant) {
  Write("mesh.yaml", kMesh);
  Write("shop.yaml", kShop);
  Write("readers.yaml", kReaders);
  Start();
  auto reader = NewProxy("readers/reader");
  reader->Identify(authority_, "spiffe://mesh.test/ns/readers/sa/default");
  auto web = NewProxy("default/web-1");
  web->Identify(authority_, kWeb);
  for (Proxy* proxy : {reader.get(), web.get()}) {
    proxy->client_.Subscribe(At("10.96.1.1:80"));
  }
  ASSERT_TRUE(RunUntil(
      [&] { return reader->destinations_.size() == 1 && web->destinations_.size() == 1; }));
  const auto first = [](const Proxy& proxy) -> const config::Route& {
    return proxy.Find("10.96.1.1:80")->routes->virtual_hosts.at(0).routes.at(0);
  };
  const auto goes_to = [&](const Proxy& proxy, const std::string& cluster) {
    const auto& clusters = first(proxy).forward.clusters;
    return clusters.size() == 1 && clusters[0].cluster == cluster;
  };
  EXPECT_TRUE(goes_to(*reader, "service/default/shop:80/v4"));
  // Without a grant it is refused, and nothing changes.
  Write("route.yaml", RouteOfOthers("readers"));
  ASSERT_TRUE(RunUntil([&] { return !registry_->Errors().empty(); }));
  EXPECT_THAT(registry_->Errors()[0].ToString(), HasSubstr("no ReferenceGrant there allows it"));
  EXPECT_TRUE(goes_to(*reader, "service/default/shop:80/v4"));
  Write("grant.yaml", kGrant);
  ASSERT_TRUE(RunUntil([&] { return goes_to(*reader, "service/caches/cache:80/v4"); }));
  EXPECT_TRUE(registry_->Errors().empty());
  EXPECT_TRUE(goes_to(*web, "service/default/shop:80/v4"));
  // Withdrawn.
  std::filesystem::remove(folder_ + "/grant.yaml");
  ASSERT_TRUE(RunUntil([&] { return first(*reader).direct.status == 500; }));
  EXPECT_THAT(registry_->Errors().at(0).ToString(), HasSubstr("until then 500 is answered"));
  EXPECT_TRUE(goes_to(*web, "service/default/shop:80/v4"));
}

}  // namespace
}  // namespace countersign
