#include "proxy/admin/certs_page.h"

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

TEST(CertsPageTest, TheChainAndTheBundlesStandThereAndNeverTheKey) {
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

TEST(CertsPageTest, WithoutACertificateTheIdentityIsNull) {
  const json parsed = json::parse(RenderCerts(nullptr, absl::InfiniteFuture(), absl::Now()));
  EXPECT_TRUE(parsed["identity"].is_null());
}

}  // namespace
}  // namespace countersign::admin
