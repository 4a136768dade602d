#include "control/attest/svid_attestor.h"

#include <gtest/gtest.h>

#include "api/spiffe/testing/test_authority.h"
#include "api/spiffe/verifier.h"

namespace countersign::control::attest {
namespace {

using countersign::identity::Refused;
using countersign::identity::v1::Refusal;
using spiffe::testing::CertificateToPem;
using spiffe::testing::IssuedLeaf;
using spiffe::testing::LeafOptions;
using spiffe::testing::TestAuthority;

constexpr char kWeb[] = "spiffe://cluster.local/ns/shop/sa/web";

class SvidAttestorTest : public ::testing::Test {
 protected:
  SvidAttestorTest()
      : root_("cluster.local"),
        intermediate_(root_.Intermediate()),
        partner_("partner.test"),
        trust_(*spiffe::BundleSet::Create(1, {root_.bundle(), partner_.bundle()})),
        attestor_("cluster.local", trust_) {
    attestation_.mutable_svid();
  }

  countersign::identity::OrRefused<Attested> Attest(const IssuedLeaf& leaf) {
    const std::string pem = CertificateToPem(leaf.certificate.get());
    return attestor_.Attest({attestation_, pem, leaf.chain_pem, absl::Now()});
  }
  Refusal::Reason ReasonFor(const IssuedLeaf& leaf) {
    auto result = Attest(leaf);
    const auto* refused = std::get_if<Refused>(&result);
    return refused == nullptr ? Refusal::REASON_UNSPECIFIED : refused->reason;
  }

  TestAuthority root_;
  TestAuthority intermediate_;
  TestAuthority partner_;
  spiffe::TrustStore trust_;
  SvidAttestor attestor_;
  countersign::identity::v1::Attestation attestation_;
};

TEST_F(SvidAttestorTest, AValidSvidProvesItsId) {
  auto result = Attest(intermediate_.Issue(kWeb));
  ASSERT_TRUE(std::holds_alternative<Attested>(result));
  EXPECT_EQ(std::get<Attested>(result).id.ToString(), kWeb);
}

TEST_F(SvidAttestorTest, NoClientCertificateProvesNothing) {
  auto result = attestor_.Attest({attestation_, "", "", absl::Now()});
  ASSERT_TRUE(std::holds_alternative<Refused>(result));
  EXPECT_EQ(std::get<Refused>(result).reason, Refusal::SVID_INVALID);
}

TEST_F(SvidAttestorTest, AnExpiredSvidIsRefused) {
  LeafOptions options;
  options.uris = {kWeb};
  options.not_before = absl::Now() - absl::Hours(2);
  options.not_after = absl::Now() - absl::Hours(1);
  EXPECT_EQ(ReasonFor(intermediate_.Issue(options)), Refusal::SVID_INVALID);
}

TEST_F(SvidAttestorTest, AForeignAuthoritysSvidIsRefused) {
  EXPECT_EQ(ReasonFor(TestAuthority("cluster.local").Issue(kWeb)), Refusal::SVID_INVALID);
}

TEST_F(SvidAttestorTest, AFederatedDomainsSvidGetsNoCertificateOfOurs) {
  EXPECT_EQ(ReasonFor(partner_.Issue("spiffe://partner.test/web")), Refusal::SVID_INVALID);
}

TEST_F(SvidAttestorTest, ACaCertificateIsRefused) {
  LeafOptions options;
  options.uris = {kWeb};
  options.is_ca = true;
  EXPECT_EQ(ReasonFor(intermediate_.Issue(options)), Refusal::SVID_INVALID);
}

TEST_F(SvidAttestorTest, ADeniedIdCannotAttestAgain) {
  auto denied = std::make_shared<spiffe::DenyList>(2);
  denied->AddId(*spiffe::SpiffeId::Parse(kWeb));
  trust_.SetDenyList(denied, absl::Now());
  EXPECT_EQ(ReasonFor(intermediate_.Issue(kWeb)), Refusal::IDENTITY_DENIED);
}

TEST_F(SvidAttestorTest, ADeniedSerialCannotAttestAgain) {
  const IssuedLeaf leaf = intermediate_.Issue(kWeb);
  spiffe::PeerSvid svid;
  ASSERT_EQ(spiffe::ParseLeaf(leaf.certificate.get(), &svid), spiffe::VerifyError::kNone);
  auto denied = std::make_shared<spiffe::DenyList>(2);
  denied->AddSerial(svid.issuer, svid.serial);
  trust_.SetDenyList(denied, absl::Now());
  EXPECT_EQ(ReasonFor(leaf), Refusal::IDENTITY_DENIED);
  EXPECT_EQ(ReasonFor(intermediate_.Issue(kWeb)), Refusal::REASON_UNSPECIFIED);
}

TEST_F(SvidAttestorTest, GarbageInsteadOfPemIsRefused) {
  auto result =
      attestor_.Attest({attestation_, "-----BEGIN CERTIFICATE-----\nxxxx", "", absl::Now()});
  ASSERT_TRUE(std::holds_alternative<Refused>(result));
  EXPECT_EQ(std::get<Refused>(result).reason, Refusal::SVID_INVALID);
}

}  // namespace
}  // namespace countersign::control::attest
