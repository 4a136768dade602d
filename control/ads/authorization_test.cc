#include "control/ads/authorization.h"

#include <string>

#include "api/spiffe/testing/test_authority.h"
#include "control/registry/file/resource_loader.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::control::ads {
namespace {

using spiffe::testing::LeafOptions;
using spiffe::testing::TestAuthority;
using ::testing::HasSubstr;

std::shared_ptr<const registry::Model> TestModel() {
  std::vector<registry::ConfigError> errors;
  const auto resources = registry::LoadResources(
      "f.yaml",
      "apiVersion: countersign.dev/v1alpha1\nkind: Mesh\nmetadata: {name: m}\n"
      "spec: {trustDomain: mesh.test}\n---\n"
      "apiVersion: countersign.dev/v1alpha1\nkind: ExternalWorkload\nmetadata: {name: web-1}\n"
      "spec: {addresses: [10.0.0.1], serviceAccount: web}\n---\n"
      "apiVersion: countersign.dev/v1alpha1\nkind: ExternalWorkload\nmetadata: {name: web-2}\n"
      "spec: {addresses: [10.0.0.2], serviceAccount: web}\n---\n"
      "apiVersion: countersign.dev/v1alpha1\nkind: ExternalWorkload\n"
      "metadata: {name: vault, namespace: secrets}\nspec: {addresses: [10.0.0.3]}\n---\n"
      "apiVersion: countersign.dev/v1alpha1\nkind: ExternalWorkload\nmetadata: {name: old}\n"
      "spec: {addresses: [10.0.0.4], tunnel: NONE}\n",
      {}, &errors);
  std::vector<const registry::Resource*> pointers;
  for (const auto& resource : resources) {
    pointers.push_back(&resource);
  }
  return registry::Model::Build(pointers, 1, absl::UnixEpoch(), &errors);
}

absl::StatusOr<std::string> Authorize(const std::string& node, const std::string& id) {
  static const auto* const model = new std::shared_ptr<const registry::Model>(TestModel());
  return AuthorizeNode(**model, node, *spiffe::SpiffeId::Parse(id));
}

constexpr char kWeb[] = "spiffe://mesh.test/ns/default/sa/web";
constexpr char kVault[] = "spiffe://mesh.test/ns/secrets/sa/default";

TEST(AuthorizationTest, AnIdentityGetsItsOwnWorkloadsConfiguration) {
  EXPECT_EQ(*Authorize("default/web-1", kWeb), "default/web-1");
  EXPECT_EQ(*Authorize("default/web-2", kWeb), "default/web-2");
  EXPECT_EQ(*Authorize("", kVault), "secrets/vault");
}

TEST(AuthorizationTest, AnotherWorkloadsOrNamespacesConfigurationIsRefused) {
  const absl::Status other = Authorize("secrets/vault", kWeb).status();
  EXPECT_EQ(other.code(), absl::StatusCode::kPermissionDenied);
  // Nothing tells whether it exists.
  const absl::Status absent = Authorize("secrets/nothing", kWeb).status();
  EXPECT_EQ(absent.code(), absl::StatusCode::kPermissionDenied);
  EXPECT_THAT(std::string(absent.message()), HasSubstr("belongs to another identity"));
}

TEST(AuthorizationTest, TheSameNamesInAnotherTrustDomainAreSomebodyElse) {
  EXPECT_FALSE(Authorize("default/web-1", "spiffe://evil.test/ns/default/sa/web").ok());
}

TEST(AuthorizationTest, AMissingWorkloadInTheOwnNamespaceIsExplained) {
  EXPECT_THAT(std::string(Authorize("default/web-3", kWeb).status().message()),
              HasSubstr("there is no workload default/web-3"));
  EXPECT_THAT(std::string(Authorize("", kWeb).status().message()),
              HasSubstr("2 workloads have the identity"));
  EXPECT_THAT(
      std::string(Authorize("", "spiffe://mesh.test/ns/default/sa/nobody").status().message()),
      HasSubstr("no workload has the identity"));
}

TEST(AuthorizationTest, ALegacyWorkloadHasNoConfiguration) {
  EXPECT_FALSE(Authorize("default/old", "spiffe://mesh.test/ns/default/sa/default").ok());
}

TEST(AuthorizationTest, OnlyAValidSvidIsAPeer) {
  TestAuthority authority("mesh.test");
  TestAuthority foreign("other.test");
  const spiffe::DenyList nobody;
  const auto verify = [&](const spiffe::testing::IssuedLeaf& leaf) {
    return VerifyPeer(spiffe::testing::CertificateToPem(leaf.certificate.get()), leaf.chain_pem,
                      *authority.bundles(), nobody, absl::Now())
        .status();
  };
  EXPECT_TRUE(verify(authority.Intermediate().Issue(kWeb)).ok());
  LeafOptions expired;
  expired.uris = {kWeb};
  expired.not_after = absl::Now() - absl::Seconds(1);
  LeafOptions two;
  two.uris = {kWeb, kVault};
  LeafOptions ca;
  ca.uris = {kWeb};
  ca.is_ca = true;
  for (const LeafOptions& options : {expired, two, ca}) {
    EXPECT_EQ(verify(authority.Issue(options)).code(), absl::StatusCode::kUnauthenticated);
  }
  EXPECT_FALSE(verify(foreign.Issue("spiffe://other.test/ns/default/sa/web")).ok());
  EXPECT_FALSE(verify(foreign.Issue(kWeb)).ok());
  for (const char* garbage :
       {"", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "garbage"}) {
    EXPECT_EQ(VerifyPeer(garbage, "", *authority.bundles(), nobody, absl::Now()).status().code(),
              absl::StatusCode::kUnauthenticated);
  }
  spiffe::DenyList denied;
  denied.AddId(*spiffe::SpiffeId::Parse(kWeb));
  const auto leaf = authority.Issue(kWeb);
  EXPECT_FALSE(VerifyPeer(leaf.chain_pem, "", *authority.bundles(), denied, absl::Now()).ok());
}

}  // namespace
}  // namespace countersign::control::ads
