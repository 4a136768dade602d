// What proxies are told of policies and destinations, and when their streams end.
#include <filesystem>
#include <string>

#include "gmock/gmock.h"
#include "tests/integration/config_delivery_fixture.h"

namespace countersign {
namespace {

using config::Destination;
using config::EndpointTransport;
using config::MtlsMode;
using spiffe::testing::TestAuthority;
using ::testing::HasSubstr;

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
