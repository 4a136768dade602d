#include "proxy/admin/pages.h"

#include <nlohmann/json.hpp>

#include "api/spiffe/testing/test_authority.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::admin {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::Not;

std::shared_ptr<identity::SecretSnapshot> MakeSecret(absl::Time now) {
  const spiffe::testing::TestAuthority root("mesh.test");
  const spiffe::testing::TestAuthority authority = root.Intermediate();
  spiffe::testing::IssuedLeaf leaf = authority.Issue("spiffe://mesh.test/ns/shop/sa/web");
  auto secret = std::make_shared<identity::SecretSnapshot>();
  secret->generation = 3;
  secret->id = *spiffe::SpiffeId::Parse("spiffe://mesh.test/ns/shop/sa/web");
  for (const std::string& der : leaf.chain_der) {
    secret->chain.push_back(spiffe::testing::CertificateFromDer(der));
  }
  secret->key = std::move(leaf.key);
  secret->not_before = now - absl::Minutes(1);
  secret->not_after = now + absl::Minutes(59);
  secret->bundles = root.bundles(5);
  secret->deny_list = std::make_shared<const spiffe::DenyList>(2);
  return secret;
}

TEST(PagesTest, CertsShowTheChainAndTheBundlesAndNeverTheKey) {
  const absl::Time now = absl::Now();
  const auto secret = MakeSecret(now);
  const std::string page = RenderCerts(secret.get(), now + absl::Minutes(29), now);
  const json parsed = json::parse(page);
  EXPECT_EQ(parsed["identity"], "spiffe://mesh.test/ns/shop/sa/web");
  EXPECT_EQ(parsed["expires_in_seconds"], 59 * 60);
  EXPECT_EQ(parsed["renews_in_seconds"], 29 * 60);
  ASSERT_EQ(parsed["chain"].size(), 2u);
  EXPECT_EQ(parsed["chain"][0]["uris"][0], "spiffe://mesh.test/ns/shop/sa/web");
  EXPECT_FALSE(parsed["chain"][0]["serial"].get<std::string>().empty());
  EXPECT_EQ(parsed["trust_bundles"][0]["trust_domain"], "mesh.test");
  EXPECT_EQ(parsed["trust_bundles"][0]["authorities"].size(), 1u);
  EXPECT_EQ(parsed["trust_bundle_epoch"], 5);
  EXPECT_EQ(parsed["deny_list_epoch"], 2);
  EXPECT_THAT(page, Not(HasSubstr("PRIVATE")));
  EXPECT_THAT(page, Not(HasSubstr("key")));
}

TEST(PagesTest, CertsWithoutACertificate) {
  const json parsed = json::parse(RenderCerts(nullptr, absl::InfiniteFuture(), absl::Now()));
  EXPECT_TRUE(parsed["identity"].is_null());
}

TEST(PagesTest, ConfigDumpShowsWhatIsInForce) {
  auto standing = std::make_shared<config::ProxyConfig>();
  standing->inbound.fallback = {config::MtlsMode::kStrict, "shop/default"};
  standing->inbound.ports[8080] = {config::MtlsMode::kPermissive, "shop/web"};
  standing->outbound = {config::OutboundPolicy::Mode::kAllowAny, "mesh"};
  auto cluster = std::make_shared<config::Cluster>();
  cluster->name = "db";
  config::Endpoint& endpoint = cluster->endpoints.emplace_back();
  endpoint.address = *net::Address::Parse("10.0.0.2:5432");
  endpoint.transport = config::EndpointTransport::kHbone;
  endpoint.tunnel = *net::Address::Parse("10.0.0.2:15008");
  endpoint.identity = *spiffe::SpiffeId::Parse("spiffe://mesh.test/db");
  endpoint.workload = "db\xFF";
  auto destination = std::make_shared<config::Destination>();
  destination->kind = config::Destination::Kind::kCluster;
  destination->cluster = cluster;
  ConfigDump dump;
  dump.flags = {{"control", "c:15012"}};
  dump.config = standing;
  dump.destinations["10.96.0.10:5432"] = destination;
  dump.destinations["1.1.1.1:443"] = std::make_shared<config::Destination>();
  dump.xds_connected = true;
  dump.versions["inbound"] = "7";
  const json parsed = json::parse(RenderConfigDump(dump));
  EXPECT_EQ(parsed["flags"]["control"], "c:15012");
  EXPECT_EQ(parsed["standing"]["inbound"]["ports"]["8080"]["mode"], "PERMISSIVE");
  EXPECT_EQ(parsed["standing"]["inbound"]["default"]["policy"], "shop/default");
  EXPECT_EQ(parsed["standing"]["outbound"]["mode"], "ALLOW_ANY");
  EXPECT_EQ(parsed["destinations"]["1.1.1.1:443"]["kind"], "unknown");
  const json& shown = parsed["destinations"]["10.96.0.10:5432"]["endpoints"][0];
  EXPECT_EQ(shown["tunnel"], "10.0.0.2:15008");
  EXPECT_EQ(shown["identity"], "spiffe://mesh.test/db");
  EXPECT_EQ(parsed["xds"]["connected"], true);
  EXPECT_EQ(parsed["xds"]["versions"]["inbound"], "7");
}

}  // namespace
}  // namespace countersign::admin
