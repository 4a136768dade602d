// The identity stream of the real countersign-control, over real TLS.
#include <grpcpp/grpcpp.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "absl/strings/str_cat.h"
#include "api/spiffe/testing/test_authority.h"
#include "api/spiffe/verifier.h"
#include "control/ca/testing/test_csr.h"
#include "tests/integration/control_process.h"

namespace countersign::testing {
namespace {

using identity::v1::Refusal;
using spiffe::testing::CertificateFromDer;
using spiffe::testing::LeafOptions;
using spiffe::testing::TestAuthority;

constexpr char kWeb[] = "spiffe://cluster.local/ns/shop/sa/web";

class ControlIdentityTest : public ::testing::Test {
 protected:
  std::string bundle() { return ReadWholeFile(control_.state_dir() + "/bundle.pem"); }
  std::unique_ptr<IdentityProbe> NewProbe(const std::string& chain = {},
                                          const std::string& key = {}) {
    return std::make_unique<IdentityProbe>(control_.address(), bundle(), chain, key);
  }
  double Metric(const std::string& series) {
    const std::string text = control_.Get("/metrics");
    const size_t at = text.find("\n" + series + " ");
    if (at == std::string::npos) return -1;
    return std::stod(text.substr(at + series.size() + 2));
  }

  ControlProcess control_;
};

TEST_F(ControlIdentityTest, AJoinTokenGivesItsIdentityWithFullState) {
  control_.Start();
  auto probe = NewProbe();
  const auto response = probe->Ask(probe->WithToken(control_.CreateToken(kWeb)));
  ASSERT_TRUE(response.has_svid()) << response.DebugString() << control_.log();
  EXPECT_EQ(response.request_id(), "probe");
  EXPECT_FALSE(response.correlation_id().empty());
  EXPECT_EQ(response.svid().spiffe_id(), kWeb);
  EXPECT_EQ(response.svid().chain_size(), 2);
  ASSERT_EQ(response.trust_bundles().bundles_size(), 1);
  EXPECT_TRUE(response.has_deny_list());
  EXPECT_NE(control_.log().find(response.correlation_id()), std::string::npos);

  const auto& bundle = response.trust_bundles().bundles(0);
  auto bundles = spiffe::BundleSet::Create(
      1, {{bundle.trust_domain(), {bundle.authorities().begin(), bundle.authorities().end()}}});
  ASSERT_TRUE(bundles.ok()) << bundles.status();
  spiffe::X509StackPtr others(sk_X509_new_null());
  sk_X509_push(others.get(), CertificateFromDer(response.svid().chain(1)).release());
  const spiffe::X509Ptr leaf = CertificateFromDer(response.svid().chain(0));
  spiffe::PeerSvid svid;
  EXPECT_EQ(spiffe::Verify(leaf.get(), others.get(), **bundles, {}, absl::Now(), &svid),
            spiffe::VerifyError::kNone);
  EXPECT_EQ(svid.id.ToString(), kWeb);
  EXPECT_EQ(absl::ToUnixSeconds(svid.not_after), response.svid().not_after().seconds());
  EXPECT_EQ(Metric("countersign_control_certificates_issued_total{evidence=\"join_token\"}"), 1);
  EXPECT_EQ(Metric("countersign_control_identity_streams"), 1);
}

TEST_F(ControlIdentityTest, RenewalsOnTheStreamKeepTheIdentity) {
  control_.Start();
  auto probe = NewProbe();
  auto response = probe->Ask(probe->WithToken(control_.CreateToken(kWeb)));
  ASSERT_TRUE(response.has_svid());
  for (int i = 0; i < 3; ++i) {
    auto request = probe->NewRequest();
    request.set_acked_version(response.version());
    const uint64_t before = response.version();
    response = probe->Ask(request);
    ASSERT_TRUE(response.has_svid()) << response.DebugString();
    EXPECT_EQ(response.svid().spiffe_id(), kWeb);
    EXPECT_GT(response.version(), before);
    EXPECT_FALSE(response.has_trust_bundles()) << "unchanged state is not sent again";
  }
}

TEST_F(ControlIdentityTest, ATokenIsGoodOnceAndItsSecondUserIsTold) {
  control_.Start();
  const std::string token = control_.CreateToken(kWeb);
  auto first = NewProbe();
  ASSERT_TRUE(first->Ask(first->WithToken(token)).has_svid());
  auto second = NewProbe();
  const auto response = second->Ask(second->WithToken(token));
  EXPECT_EQ(response.refusal().reason(), Refusal::TOKEN_ALREADY_USED);
  EXPECT_FALSE(response.has_trust_bundles());
  EXPECT_TRUE(second->Finish().ok());
  EXPECT_EQ(Metric("countersign_control_certificates_refused_total{reason=\"token_already_used\"}"),
            1);
}

TEST_F(ControlIdentityTest, UnknownAndExpiredTokensAreRefusedWithTheirReasons) {
  control_.Start();
  auto unknown = NewProbe();
  EXPECT_EQ(unknown->Ask(unknown->WithToken("guess")).refusal().reason(), Refusal::TOKEN_UNKNOWN);
  const std::string token = control_.CreateToken(kWeb, "1s");
  absl::SleepFor(absl::Seconds(2));
  auto expired = NewProbe();
  EXPECT_EQ(expired->Ask(expired->WithToken(token)).refusal().reason(), Refusal::TOKEN_EXPIRED);
}

TEST_F(ControlIdentityTest, ARefusedRequestDoesNotUseTheTokenUp) {
  control_.Start();
  const std::string token = control_.CreateToken(kWeb);
  const auto reason_for = [&](const std::string& csr) {
    auto probe = NewProbe();
    auto request = probe->WithToken(token);
    request.set_csr(csr);
    return probe->Ask(request).refusal().reason();
  };
  using control::ca::testing::CsrOptions;
  using control::ca::testing::MakeCsr;
  CsrOptions foreign;
  foreign.extensions = {{"subjectAltName", "URI:spiffe://cluster.local/ns/shop/sa/db"}};
  EXPECT_EQ(reason_for(MakeCsr(foreign).der), Refusal::CSR_FORBIDDEN_SAN);
  CsrOptions ca;
  ca.extensions = {{"basicConstraints", "CA:TRUE"}};
  EXPECT_EQ(reason_for(MakeCsr(ca).der), Refusal::CSR_FORBIDDEN_EXTENSION);
  CsrOptions rsa;
  rsa.key = "RSA";
  EXPECT_EQ(reason_for(MakeCsr(rsa).der), Refusal::CSR_WEAK_KEY);
  EXPECT_EQ(reason_for(MakeCsr().der + "x"), Refusal::CSR_MALFORMED);
  EXPECT_EQ(reason_for(std::string(10'000, 'x')), Refusal::CSR_TOO_LARGE);
  std::string broken = MakeCsr().der;
  broken.back() = static_cast<char>(broken.back() ^ 1);
  EXPECT_EQ(reason_for(broken), Refusal::CSR_BAD_SIGNATURE);
  auto probe = NewProbe();
  EXPECT_TRUE(probe->Ask(probe->WithToken(token)).has_svid());
}

TEST_F(ControlIdentityTest, ALifeOverTheLimitIsRefusedNotClipped) {
  control_.WriteMesh(
      "  trustDomain: cluster.local\n  certificates:\n    ttl: 30m\n    maxTtl: 2h\n");
  control_.Start();
  const std::string token = control_.CreateToken(kWeb);
  auto probe = NewProbe();
  auto request = probe->WithToken(token);
  request.mutable_requested_ttl()->set_seconds(2 * 3600 + 1);
  EXPECT_EQ(probe->Ask(request).refusal().reason(), Refusal::TTL_TOO_LONG);
  auto other = NewProbe();
  request = other->WithToken(token);
  request.mutable_requested_ttl()->set_seconds(3600);
  const auto response = other->Ask(request);
  ASSERT_TRUE(response.has_svid()) << response.DebugString();
  EXPECT_NEAR(static_cast<double>(response.svid().not_after().seconds()),
              static_cast<double>(absl::ToUnixSeconds(absl::Now() + absl::Hours(1))), 5);
}

TEST_F(ControlIdentityTest, AMegabyteEndsTheStreamAndNothingElse) {
  control_.Start();
  auto probe = NewProbe();
  auto request = probe->WithToken("token");
  request.set_csr(std::string(1 << 20, 'x'));
  const auto response = probe->Ask(request);
  EXPECT_FALSE(response.has_svid());
  EXPECT_EQ(probe->Finish().error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  auto next = NewProbe();
  EXPECT_TRUE(next->Ask(next->WithToken(control_.CreateToken(kWeb))).has_svid());
}

TEST_F(ControlIdentityTest, MalformedRequestsAreRefusedBeforeAttestation) {
  control_.Start();
  const std::string token = control_.CreateToken(kWeb);
  auto probe = NewProbe();
  auto request = probe->WithToken(token);
  request.set_request_id("a\nb");
  auto response = probe->Ask(request);
  EXPECT_EQ(response.refusal().reason(), Refusal::MALFORMED_REQUEST);
  EXPECT_TRUE(response.request_id().empty());
  probe = NewProbe();
  EXPECT_EQ(probe->Ask(probe->NewRequest()).refusal().reason(), Refusal::ATTESTATION_MISSING);
  probe = NewProbe();
  request = probe->NewRequest();
  request.mutable_attestation()->set_kubernetes_token("x");
  EXPECT_EQ(probe->Ask(request).refusal().reason(), Refusal::ATTESTATION_UNSUPPORTED);
  probe = NewProbe();
  response = probe->Ask(probe->WithToken(token));
  ASSERT_TRUE(response.has_svid()) << "the token is still good";
  EXPECT_EQ(probe->Ask(probe->WithToken(token)).refusal().reason(), Refusal::MALFORMED_REQUEST);
}

TEST_F(ControlIdentityTest, TheControlPlanesOwnIdentityIsGivenToNobody) {
  control_.Start();
  // The command refuses it, so the record is written as an intruder in the folder would.
  const std::string token = control_.CreateToken(kWeb);
  for (const auto& entry : std::filesystem::directory_iterator(control_.state_dir() + "/tokens")) {
    if (!entry.is_regular_file()) continue;
    std::ofstream(entry.path()) << "spiffe://cluster.local/countersign/control\n99999999999\n";
  }
  auto probe = NewProbe();
  EXPECT_EQ(probe->Ask(probe->WithToken(token)).refusal().reason(), Refusal::IDENTITY_DENIED);
}

TEST_F(ControlIdentityTest, AnSvidAttestsAgainOverItsOwnTlsConnection) {
  control_.Start();
  auto probe = NewProbe();
  const auto first = probe->Ask(probe->WithToken(control_.CreateToken(kWeb)));
  ASSERT_TRUE(first.has_svid());
  auto again = NewProbe(probe->ChainPem(first), probe->key_pem());
  const auto second = again->Ask(again->WithSvid());
  ASSERT_TRUE(second.has_svid()) << second.DebugString();
  EXPECT_EQ(second.svid().spiffe_id(), kWeb);
  EXPECT_NE(second.svid().chain(0), first.svid().chain(0));
}

TEST_F(ControlIdentityTest, AForeignOrMissingClientCertificateDoesNotAttest) {
  control_.Start();
  auto bare = NewProbe();
  EXPECT_EQ(bare->Ask(bare->WithSvid()).refusal().reason(), Refusal::SVID_INVALID);

  TestAuthority foreign("cluster.local");
  const auto leaf = foreign.Issue(kWeb);
  auto stranger = NewProbe(leaf.chain_pem, leaf.key_pem);
  EXPECT_EQ(stranger->Ask(stranger->WithSvid()).refusal().reason(), Refusal::SVID_INVALID);
}

TEST_F(ControlIdentityTest, ADenialIsPushedWithinASecondAndEndsTheDeniedStream) {
  control_.Start();
  auto victim = NewProbe();
  const auto granted = victim->Ask(victim->WithToken(control_.CreateToken(kWeb)));
  ASSERT_TRUE(granted.has_svid());
  const std::string db = "spiffe://cluster.local/ns/shop/sa/db";
  auto bystander = NewProbe();
  const auto first = bystander->Ask(bystander->WithToken(control_.CreateToken(db)));
  ASSERT_TRUE(first.has_svid());

  const absl::Time before = absl::Now();
  control_.Command({"deny", "add", "--state-dir", control_.state_dir(), "--spiffe-id", kWeb});
  IdentityProbe::Response push;
  ASSERT_TRUE(bystander->Read(&push));
  EXPECT_LT(absl::Now() - before, absl::Seconds(1));
  ASSERT_EQ(push.deny_list().entries_size(), 1);
  EXPECT_EQ(push.deny_list().entries(0).spiffe_id(), kWeb);
  EXPECT_FALSE(push.has_svid());
  EXPECT_GT(push.deny_list().epoch(), first.deny_list().epoch());
  IdentityProbe::Request ack;
  ack.set_acked_version(push.version());
  ASSERT_TRUE(bystander->Write(ack));

  IdentityProbe::Response refusal;
  ASSERT_TRUE(victim->Read(&refusal));
  EXPECT_EQ(refusal.refusal().reason(), Refusal::IDENTITY_DENIED);
  EXPECT_FALSE(victim->Read(&refusal)) << "the denied stream has ended";

  // Neither its certificate nor a new token helps it.
  auto again = NewProbe(victim->ChainPem(granted), victim->key_pem());
  EXPECT_EQ(again->Ask(again->WithSvid()).refusal().reason(), Refusal::IDENTITY_DENIED);
  auto token = NewProbe();
  EXPECT_EQ(token->Ask(token->WithToken(control_.CreateToken(kWeb))).refusal().reason(),
            Refusal::IDENTITY_DENIED);
  EXPECT_EQ(Metric("countersign_control_identity_event_to_ack_seconds_count"), 1);
  EXPECT_EQ(Metric("countersign_control_identity_pushes_total{what=\"deny_list\"}"), 1);
}

TEST_F(ControlIdentityTest, AShorterLifeAsksEveryProxyToRenew) {
  control_.Start();
  auto probe = NewProbe();
  ASSERT_TRUE(probe->Ask(probe->WithToken(control_.CreateToken(kWeb))).has_svid());
  control_.WriteMesh("  trustDomain: cluster.local\n  certificates:\n    ttl: 4s\n");
  IdentityProbe::Response push;
  ASSERT_TRUE(probe->Read(&push)) << control_.log();
  EXPECT_TRUE(push.has_renew_now());
  const auto renewed = probe->Ask(probe->NewRequest());
  ASSERT_TRUE(renewed.has_svid());
  EXPECT_LE(renewed.svid().not_after().seconds(), absl::ToUnixSeconds(absl::Now()) + 4);
}

TEST_F(ControlIdentityTest, AnExpiredSvidIsNotRenewedOnItsStream) {
  control_.WriteMesh("  trustDomain: cluster.local\n  certificates:\n    ttl: 2s\n");
  control_.Start();
  auto probe = NewProbe();
  ASSERT_TRUE(probe->Ask(probe->WithToken(control_.CreateToken(kWeb))).has_svid());
  absl::SleepFor(absl::Seconds(3));
  EXPECT_EQ(probe->Ask(probe->NewRequest()).refusal().reason(), Refusal::SVID_INVALID);
}

TEST_F(ControlIdentityTest, ARenewedIntermediateServesAndIssuesWithoutARestart) {
  control_.Start({"--intermediate-ttl", "4s"});
  auto probe = NewProbe();
  const auto first = probe->Ask(probe->WithToken(control_.CreateToken(kWeb)));
  ASSERT_TRUE(first.has_svid());
  IdentityProbe::Response push;
  ASSERT_TRUE(probe->Read(&push));
  EXPECT_TRUE(push.has_renew_now());
  const auto renewed = probe->Ask(probe->NewRequest());
  ASSERT_TRUE(renewed.has_svid());
  EXPECT_NE(renewed.svid().chain(1), first.svid().chain(1));
  // Handshakes get the new serving certificate: the old one has expired by now.
  absl::SleepFor(absl::Seconds(4));
  auto later = NewProbe();
  EXPECT_TRUE(later->Ask(later->WithToken(control_.CreateToken(kWeb))).has_svid())
      << control_.log();
}

TEST_F(ControlIdentityTest, AStreamThatNeverAttestsIsEnded) {
  control_.Start();
  auto probe = NewProbe();
  IdentityProbe::Response response;
  EXPECT_FALSE(probe->Read(&response, absl::Seconds(30)));
  EXPECT_EQ(probe->Finish().error_code(), grpc::StatusCode::DEADLINE_EXCEEDED);
}

TEST_F(ControlIdentityTest, SigtermEndsCleanlyAndTheStateIsKept) {
  control_.Start();
  const std::string before = bundle();
  auto probe = NewProbe();
  ASSERT_TRUE(probe->Ask(probe->WithToken(control_.CreateToken(kWeb))).has_svid());
  EXPECT_EQ(control_.Stop(), 0);
  EXPECT_EQ(probe->Finish().error_code(), grpc::StatusCode::UNAVAILABLE);
  control_.Start();
  EXPECT_EQ(bundle(), before);
}

TEST_F(ControlIdentityTest, MetricsTellTheExpiryOfEveryAuthority) {
  control_.Start();
  for (const char* authority : {"root", "intermediate", "serving"}) {
    EXPECT_GT(Metric(absl::StrCat("countersign_control_authority_expiry_seconds{authority=\"",
                                  authority, "\"}")),
              static_cast<double>(absl::ToUnixSeconds(absl::Now())));
    EXPECT_GT(Metric(absl::StrCat("countersign_control_authority_days_to_expiry{authority=\"",
                                  authority, "\"}")),
              0.4);
  }
}

}  // namespace
}  // namespace countersign::testing
