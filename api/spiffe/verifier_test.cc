#include "api/spiffe/verifier.h"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "api/spiffe/testing/test_authority.h"

namespace countersign::spiffe {
namespace {

using testing::AuthorityOptions;
using testing::CertificateFromDer;
using testing::IssuedLeaf;
using testing::LeafOptions;
using testing::TestAuthority;

constexpr char kWeb[] = "spiffe://cluster.local/ns/shop/sa/web";

class VerifierTest : public ::testing::Test {
 protected:
  VerifierTest() : root_("cluster.local"), intermediate_(root_.Intermediate()) {}

  VerifyError VerifyChain(const std::vector<std::string>& chain_der) {
    X509Ptr leaf = CertificateFromDer(chain_der[0]);
    X509StackPtr others(sk_X509_new_null());
    for (size_t i = 1; i < chain_der.size(); ++i) {
      sk_X509_push(others.get(), CertificateFromDer(chain_der[i]).release());
    }
    return Verify(leaf.get(), others.get(), *root_.bundles(), deny_list_, absl::Now(), &svid_);
  }
  VerifyError VerifyLeaf(const LeafOptions& options) {
    return VerifyChain(intermediate_.Issue(options).chain_der);
  }
  VerifyError VerifyUri(const std::string& uri) {
    LeafOptions options;
    options.uris = {uri};
    return VerifyLeaf(options);
  }
  static LeafOptions Web() {
    LeafOptions options;
    options.uris = {kWeb};
    return options;
  }

  TestAuthority root_;
  TestAuthority intermediate_;
  DenyList deny_list_;
  PeerSvid svid_;
};

TEST_F(VerifierTest, AValidSvidIsAcceptedAndDescribed) {
  const IssuedLeaf leaf = intermediate_.Issue(Web());
  ASSERT_EQ(VerifyChain(leaf.chain_der), VerifyError::kNone);
  EXPECT_EQ(svid_.id.ToString(), kWeb);
  EXPECT_EQ(svid_.serial.size(), 16u);
  EXPECT_EQ(svid_.digest.size(), 32u);
  EXPECT_LT(svid_.not_before, absl::Now());
  EXPECT_GT(svid_.not_after, absl::Now());
}

TEST_F(VerifierTest, TheIntermediatesAreThoseOfThePathAndNothingElseThatWasPresented) {
  const TestAuthority second = intermediate_.Intermediate();
  const IssuedLeaf leaf = second.Issue(Web());
  ASSERT_EQ(VerifyChain(leaf.chain_der), VerifyError::kNone);
  EXPECT_EQ(svid_.intermediates, (std::vector<std::string>{leaf.chain_der[1], leaf.chain_der[2]}));

  // In another order, with the root and a stranger among them.
  const TestAuthority stranger("cluster.local");
  ASSERT_EQ(VerifyChain({leaf.chain_der[0], stranger.root_der(), leaf.chain_der[2],
                         root_.root_der(), leaf.chain_der[1]}),
            VerifyError::kNone);
  EXPECT_EQ(svid_.intermediates, (std::vector<std::string>{leaf.chain_der[1], leaf.chain_der[2]}));

  ASSERT_EQ(VerifyChain(root_.Issue(Web()).chain_der), VerifyError::kNone);
  EXPECT_TRUE(svid_.intermediates.empty());
}

TEST_F(VerifierTest, ALeafOfTheRootItselfIsAccepted) {
  EXPECT_EQ(VerifyChain(root_.Issue(Web()).chain_der), VerifyError::kNone);
}

TEST_F(VerifierTest, DnsNamesMayStandBesideTheUri) {
  LeafOptions options = Web();
  options.dns_names = {"web.shop.svc"};
  EXPECT_EQ(VerifyLeaf(options), VerifyError::kNone);
}

TEST_F(VerifierTest, ANulInTheUriIsRefused) {
  EXPECT_EQ(VerifyUri(kWeb + std::string("\0.evil", 6)), VerifyError::kBadSpiffeId);
  EXPECT_EQ(VerifyUri(kWeb + std::string(1, '\0')), VerifyError::kBadSpiffeId);
}

TEST_F(VerifierTest, AnIdentityInTheCommonNameIsRefused) {
  LeafOptions options;
  options.common_name = kWeb;
  EXPECT_EQ(VerifyLeaf(options), VerifyError::kNoUriSan);
}

TEST_F(VerifierTest, AnIdentityInADnsNameIsRefused) {
  LeafOptions options;
  options.dns_names = {kWeb};
  EXPECT_EQ(VerifyLeaf(options), VerifyError::kNoUriSan);
}

TEST_F(VerifierTest, AnIdentityInAnEmailNameIsRefused) {
  LeafOptions options;
  options.emails = {kWeb};
  EXPECT_EQ(VerifyLeaf(options), VerifyError::kNoUriSan);
}

TEST_F(VerifierTest, AnIdentityInAnOtherNameIsRefused) {
  LeafOptions options;
  options.other_name = kWeb;
  EXPECT_EQ(VerifyLeaf(options), VerifyError::kNoUriSan);
}

TEST_F(VerifierTest, TwoUriSansAreRefused) {
  LeafOptions options = Web();
  options.uris.push_back("spiffe://cluster.local/ns/shop/sa/db");
  EXPECT_EQ(VerifyLeaf(options), VerifyError::kManyUriSans);
  options.uris[1] = "https://example.test/";
  EXPECT_EQ(VerifyLeaf(options), VerifyError::kManyUriSans);
}

TEST_F(VerifierTest, SeparatorsAndLineBreaksInTheUriAreRefused) {
  for (const char* bad : {",", ";", "\"", "\r\n", "\n", "=", " "}) {
    EXPECT_EQ(VerifyUri(std::string(kWeb) + bad + "x"), VerifyError::kBadSpiffeId) << bad;
  }
}

TEST_F(VerifierTest, MalformedSpiffeIdsAreRefused) {
  for (const char* uri :
       {"spiffe://Cluster.local/web", "spiffe://cluster.local:80/web",
        "spiffe://a@cluster.local/web", "spiffe://cluster.local/web?x", "spiffe://cluster.local",
        "spiffe://cluster.local/%77eb", "spiffe://cluster.local/a/../web",
        "spiffe://cluster.local/web/", "https://cluster.local/web"}) {
    EXPECT_EQ(VerifyUri(uri), VerifyError::kBadSpiffeId) << uri;
  }
  EXPECT_EQ(VerifyUri("spiffe://cluster.local/" + std::string(2048, 'a')),
            VerifyError::kBadSpiffeId);
}

TEST_F(VerifierTest, ATrustDomainWithoutABundleIsRefused) {
  EXPECT_EQ(VerifyUri("spiffe://cluster.local.evil/web"), VerifyError::kUnknownTrustDomain);
}

TEST_F(VerifierTest, BundlesAreNotPooled) {
  TestAuthority other("other.test");
  auto both = BundleSet::Create(1, {root_.bundle(), other.bundle()});
  ASSERT_TRUE(both.ok());
  // The other domain's authority must not vouch for an identity of ours.
  const IssuedLeaf leaf = other.Issue(kWeb);
  EXPECT_EQ(Verify(leaf.certificate.get(), nullptr, **both, deny_list_, absl::Now(), &svid_),
            VerifyError::kUntrustedChain);
  const IssuedLeaf own = other.Issue("spiffe://other.test/web");
  EXPECT_EQ(Verify(own.certificate.get(), nullptr, **both, deny_list_, absl::Now(), &svid_),
            VerifyError::kNone);
}

TEST_F(VerifierTest, ACaCertificateDoesNotAuthenticate) {
  LeafOptions options = Web();
  options.is_ca = true;
  EXPECT_EQ(VerifyLeaf(options), VerifyError::kCaCertificate);
}

TEST_F(VerifierTest, ForbiddenKeyUsagesAreRefused) {
  LeafOptions options = Web();
  for (int usage : {KU_DIGITAL_SIGNATURE | KU_KEY_CERT_SIGN, KU_DIGITAL_SIGNATURE | KU_CRL_SIGN,
                    KU_KEY_ENCIPHERMENT, 0}) {
    options.key_usage = usage;
    EXPECT_EQ(VerifyLeaf(options), VerifyError::kForbiddenKeyUsage) << usage;
  }
  options.key_usage = KU_DIGITAL_SIGNATURE;
  options.key_usage_critical = false;
  EXPECT_EQ(VerifyLeaf(options), VerifyError::kForbiddenKeyUsage);
}

TEST_F(VerifierTest, ExtendedKeyUsageNeedsBothSides) {
  LeafOptions options = Web();
  options.extended_key_usage = {NID_server_auth};
  EXPECT_EQ(VerifyLeaf(options), VerifyError::kWrongExtendedKeyUsage);
  options.extended_key_usage = {NID_client_auth};
  EXPECT_EQ(VerifyLeaf(options), VerifyError::kWrongExtendedKeyUsage);
  options.extended_key_usage = {NID_code_sign};
  EXPECT_EQ(VerifyLeaf(options), VerifyError::kWrongExtendedKeyUsage);
  options.extended_key_usage = {};
  EXPECT_EQ(VerifyLeaf(options), VerifyError::kNone);
}

TEST_F(VerifierTest, AnUnknownCriticalExtensionIsRefused) {
  LeafOptions options = Web();
  options.unknown_critical_extension = true;
  EXPECT_EQ(VerifyLeaf(options), VerifyError::kUnknownCriticalExtension);
}

TEST_F(VerifierTest, AnUncriticalSanUnderAnEmptySubjectIsRefused) {
  LeafOptions options = Web();
  options.san_critical = false;
  EXPECT_EQ(VerifyLeaf(options), VerifyError::kMalformed);
  options.common_name = "web";
  EXPECT_EQ(VerifyLeaf(options), VerifyError::kNone);
}

TEST_F(VerifierTest, ExpiredAndNotYetValidAreTold) {
  LeafOptions options = Web();
  options.not_before = absl::Now() - absl::Hours(2);
  options.not_after = absl::Now() - absl::Seconds(2);
  EXPECT_EQ(VerifyLeaf(options), VerifyError::kExpired);
  options.not_before = absl::Now() + absl::Seconds(30);
  options.not_after = absl::Now() + absl::Hours(2);
  EXPECT_EQ(VerifyLeaf(options), VerifyError::kNotYetValid);
}

TEST_F(VerifierTest, AnExpiredIntermediateExpiresItsLeaves) {
  AuthorityOptions options;
  options.not_after = absl::Now() - absl::Seconds(2);
  EXPECT_EQ(VerifyChain(root_.Intermediate(options).Issue(Web()).chain_der), VerifyError::kExpired);
}

TEST_F(VerifierTest, ALeafIsNoAuthority) {
  // A workload that signs for another with its own leaf.
  AuthorityOptions options;
  options.is_ca = false;
  options.key_usage = KU_DIGITAL_SIGNATURE;
  EXPECT_EQ(VerifyChain(root_.Intermediate(options).Issue(Web()).chain_der),
            VerifyError::kUntrustedChain);
  // OpenSSL alone would let this one pass: keyCertSign, but no cA.
  options.key_usage = KU_KEY_CERT_SIGN;
  EXPECT_EQ(VerifyChain(root_.Intermediate(options).Issue(Web()).chain_der),
            VerifyError::kUntrustedChain);
}

TEST_F(VerifierTest, ThePathLengthConstraintHolds) {
  AuthorityOptions options;
  options.path_length = 0;
  EXPECT_EQ(VerifyChain(root_.Intermediate(options).Intermediate().Issue(Web()).chain_der),
            VerifyError::kUntrustedChain);
}

TEST_F(VerifierTest, AForeignRootOfTheSameNameIsRefused) {
  TestAuthority foreign("cluster.local");
  EXPECT_EQ(VerifyChain(foreign.Issue(kWeb).chain_der), VerifyError::kUntrustedChain);
  EXPECT_EQ(VerifyChain(foreign.Intermediate().Issue(kWeb).chain_der),
            VerifyError::kUntrustedChain);
}

TEST_F(VerifierTest, ATamperedLeafIsRefused) {
  std::vector<std::string> chain = intermediate_.Issue(Web()).chain_der;
  const size_t at = chain[0].find("sa/web");
  ASSERT_NE(at, std::string::npos);
  chain[0].replace(at, 6, "sa/dba");
  EXPECT_EQ(VerifyChain(chain), VerifyError::kUntrustedChain);
}

TEST_F(VerifierTest, AMissingIntermediateIsRefused) {
  std::vector<std::string> chain = intermediate_.Issue(Web()).chain_der;
  chain.resize(1);
  EXPECT_EQ(VerifyChain(chain), VerifyError::kUntrustedChain);
}

TEST_F(VerifierTest, ADeepChainIsRefusedBeforeAnyWork) {
  TestAuthority deep = root_.Intermediate();
  for (int i = 0; i < 5; ++i) deep = deep.Intermediate();
  EXPECT_EQ(VerifyChain(deep.Issue(Web()).chain_der), VerifyError::kChainTooLong);
}

TEST_F(VerifierTest, AThousandSansAreReadInLinearTime) {
  LeafOptions options = Web();
  for (int i = 0; i < 1000; ++i) options.dns_names.push_back("host" + std::to_string(i));
  EXPECT_EQ(VerifyLeaf(options), VerifyError::kNone);
  options.uris.assign(1000, kWeb);
  EXPECT_EQ(VerifyLeaf(options), VerifyError::kManyUriSans);
}

TEST_F(VerifierTest, DeniedIdsAndSerialsAreRefused) {
  const IssuedLeaf leaf = intermediate_.Issue(Web());
  ASSERT_EQ(VerifyChain(leaf.chain_der), VerifyError::kNone);
  deny_list_.AddSerial(svid_.issuer, svid_.serial);
  EXPECT_EQ(VerifyChain(leaf.chain_der), VerifyError::kDenied);
  EXPECT_EQ(VerifyLeaf(Web()), VerifyError::kNone);  // another serial
  deny_list_.AddId(*SpiffeId::Parse(kWeb));
  EXPECT_EQ(VerifyLeaf(Web()), VerifyError::kDenied);
}

TEST_F(VerifierTest, NoCertificateIsSaid) {
  EXPECT_EQ(Verify(nullptr, nullptr, *root_.bundles(), deny_list_, absl::Now(), &svid_),
            VerifyError::kNoCertificate);
}

TEST_F(VerifierTest, RootsOfABundleMustBeAuthorities) {
  const IssuedLeaf leaf = root_.Issue(Web());
  EXPECT_FALSE(BundleSet::Create(1, {{"cluster.local", {leaf.chain_der[0]}}}).ok());
  EXPECT_FALSE(BundleSet::Create(1, {{"cluster.local", {"garbage"}}}).ok());
  EXPECT_FALSE(BundleSet::Create(1, {{"cluster.local", {root_.root_der() + "x"}}}).ok());
  EXPECT_FALSE(BundleSet::Create(1, {root_.bundle(), root_.bundle()}).ok());
  EXPECT_FALSE(
      BundleSet::Create(1, {{"cluster.local", {root_.root_der(), root_.root_der()}}}).ok());
  EXPECT_FALSE(BundleSet::Create(1, {{"Cluster.local", {}}}).ok());
}

TEST(VerifyErrorTest, EachHasALabelAndASentenceOfItsOwn) {
  std::set<std::string> labels;
  std::set<std::string> sentences;
  for (int i = 0; i < kVerifyErrorCount; ++i) {
    labels.insert(VerifyErrorLabel(static_cast<VerifyError>(i)));
    sentences.insert(VerifyErrorSentence(static_cast<VerifyError>(i)));
  }
  EXPECT_EQ(labels.size(), kVerifyErrorCount);
  EXPECT_EQ(sentences.size(), kVerifyErrorCount);
}

}  // namespace
}  // namespace countersign::spiffe
