#include "proxy/tls/handshake_rehearsal.h"

#include <string>

#include "api/spiffe/testing/test_authority.h"
#include "gtest/gtest.h"

namespace countersign::tls {
namespace {

using spiffe::testing::IssuedLeaf;
using spiffe::testing::TestAuthority;

constexpr char kId[] = "spiffe://cluster.local/ns/default/sa/web";

std::shared_ptr<identity::SecretSnapshot> Secret(TestAuthority& issuer,
                                                 const TestAuthority& trusted) {
  IssuedLeaf leaf = issuer.Issue(kId);
  auto secret = std::make_shared<identity::SecretSnapshot>();
  secret->id = *spiffe::SpiffeId::Parse(kId);
  for (const std::string& der : leaf.chain_der) {
    secret->chain.push_back(spiffe::testing::CertificateFromDer(der));
  }
  secret->key = std::move(leaf.key);
  secret->bundles = trusted.bundles();
  secret->deny_list = std::make_shared<spiffe::DenyList>(1);
  return secret;
}

TEST(HandshakeRehearsalTest, AGoodCertificateCarriesBothRoles) {
  TestAuthority authority("cluster.local");
  EXPECT_EQ(RehearseHandshake(Secret(authority, authority), event::Clock::Real()),
            absl::OkStatus());
}

TEST(HandshakeRehearsalTest, ACertificateOfAnotherAuthorityIsRefusedInWords) {
  TestAuthority issuer("cluster.local");
  TestAuthority trusted("cluster.local");
  const absl::Status status = RehearseHandshake(Secret(issuer, trusted), event::Clock::Real());
  EXPECT_NE(std::string(status.message()).find("does not chain to an authority"), std::string::npos)
      << status;
}

TEST(HandshakeRehearsalTest, AnIncompleteSecretIsRefused) {
  TestAuthority authority("cluster.local");
  auto secret = Secret(authority, authority);
  secret->key.reset();
  EXPECT_FALSE(RehearseHandshake(secret, event::Clock::Real()).ok());
}

}  // namespace
}  // namespace countersign::tls
