#include "control/ca/authority.h"

#include <gtest/gtest.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "api/spiffe/testing/test_authority.h"
#include "api/spiffe/verifier.h"
#include "control/ca/certificates.h"
#include "control/ca/csr.h"
#include "control/ca/own_root.h"
#include "control/ca/testing/test_csr.h"

namespace countersign::control::ca {
namespace {

using countersign::identity::Refused;
using countersign::identity::v1::Refusal;

class AuthorityTest : public ::testing::Test {
 protected:
  AuthorityTest() : dir_(::testing::TempDir() + "authority_XXXXXX"), now_(absl::Now()) {
    EXPECT_NE(mkdtemp(dir_.data()), nullptr);
  }
  ~AuthorityTest() override { std::filesystem::remove_all(dir_); }

  absl::StatusOr<std::unique_ptr<Authority>> Open(const std::string& trust_domain = "cluster.local",
                                                  absl::Duration root_ttl = absl::Hours(87600)) {
    auto root = OwnRoot::Open({dir_, trust_domain, root_ttl, now_});
    if (!root.ok()) return root.status();
    Authority::Options options;
    options.state_dir = dir_;
    options.trust_domain = trust_domain;
    options.now = [this] { return now_; };
    return Authority::Open(options, *std::move(root));
  }

  static Authority::Request RequestFor(const std::string& id, absl::string_view key,
                                       absl::Duration ttl = absl::Hours(1)) {
    return {*spiffe::SpiffeId::Parse(id), key, ttl, {}};
  }
  Authority::Issued Issue(const Authority& authority, const Authority::Request& request) {
    auto result = authority.Issue(request);
    EXPECT_TRUE(std::holds_alternative<Authority::Issued>(result));
    return std::get<Authority::Issued>(result);
  }
  spiffe::VerifyError Verify(const Authority& authority, const Authority::Issued& issued,
                             spiffe::PeerSvid* svid) {
    const spiffe::X509Ptr leaf = ParseCertificate(issued.leaf.der);
    spiffe::X509StackPtr others(sk_X509_new_null());
    for (const std::string& der : issued.issuer->chain_der()) {
      sk_X509_push(others.get(), ParseCertificate(der).release());
    }
    auto bundles = spiffe::BundleSet::Create(1, {authority.bundle()});
    return spiffe::Verify(leaf.get(), others.get(), **bundles, spiffe::DenyList(), now_, svid);
  }
  static std::string PublicKey() {
    const spiffe::EvpPkeyPtr key = NewP256Key();
    unsigned char* der = nullptr;
    const int length = i2d_PUBKEY(key.get(), &der);
    std::string info(reinterpret_cast<char*>(der), static_cast<size_t>(length));
    OPENSSL_free(der);
    return info;
  }
  std::string Read(const std::string& name) {
    std::ifstream file(dir_ + name, std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  unsigned Mode(const std::string& name) {
    struct stat info = {};
    EXPECT_EQ(stat((dir_ + name).c_str(), &info), 0) << name;
    return info.st_mode & 07777;
  }

  std::string dir_;
  absl::Time now_;
};

constexpr char kWeb[] = "spiffe://cluster.local/ns/shop/sa/web";

TEST_F(AuthorityTest, AFirstStartMakesPrivateStateAndAPublicBundle) {
  auto authority = Open();
  ASSERT_TRUE(authority.ok()) << authority.status();
  EXPECT_EQ(Mode("/ca"), 0700u);
  for (const char* name : {"/ca/root.pem", "/ca/root-key.pem", "/ca/intermediate.pem"}) {
    EXPECT_EQ(Mode(name), 0600u) << name;
  }
  EXPECT_EQ(Mode("/bundle.pem"), 0644u);
  EXPECT_EQ(Read("/bundle.pem").find("PRIVATE"), std::string::npos);
}

TEST_F(AuthorityTest, AnIssuedLeafIsAValidSvid) {
  auto authority = Open();
  ASSERT_TRUE(authority.ok()) << authority.status();
  const std::string key = PublicKey();
  const Authority::Issued issued = Issue(**authority, RequestFor(kWeb, key));
  spiffe::PeerSvid svid;
  ASSERT_EQ(Verify(**authority, issued, &svid), spiffe::VerifyError::kNone);
  EXPECT_EQ(svid.id.ToString(), kWeb);
  EXPECT_EQ(svid.serial, issued.leaf.serial);
  EXPECT_EQ(svid.issuer, issued.issuer->name());
  EXPECT_EQ(svid.not_after, issued.not_after);
  EXPECT_EQ(svid.not_before, issued.not_before);
  // Back-dated for clocks that are slow, and never for longer than asked.
  EXPECT_LE(issued.not_before, now_ - absl::Seconds(29));
  EXPECT_LE(issued.not_after, now_ + absl::Hours(1));
  EXPECT_GT(issued.not_after, now_ + absl::Minutes(59));
}

TEST_F(AuthorityTest, ALeafIsEncodedAsOpenSslWouldEncodeIt) {
  auto authority = Open();
  ASSERT_TRUE(authority.ok()) << authority.status();
  for (size_t length : {1u, 100u, 200u, 2000u}) {
    const std::string id = "spiffe://cluster.local/" + std::string(length, 'a');
    const Authority::Issued issued = Issue(**authority, RequestFor(id, PublicKey()));
    const spiffe::X509Ptr leaf = ParseCertificate(issued.leaf.der);
    ASSERT_NE(leaf, nullptr) << length;
    // Decode everything, encode it anew: DER has one encoding.
    spiffe::X509Ptr copy(X509_dup(leaf.get()));
    i2d_re_X509_tbs(copy.get(), nullptr);
    EXPECT_EQ(spiffe::testing::CertificateToDer(copy.get()), issued.leaf.der);
    EXPECT_EQ(X509_get_version(leaf.get()), X509_VERSION_3);
    EXPECT_EQ(X509_NAME_entry_count(X509_get_subject_name(leaf.get())), 0);
    spiffe::PeerSvid svid;
    EXPECT_EQ(Verify(**authority, issued, &svid), spiffe::VerifyError::kNone);
    EXPECT_EQ(svid.id.ToString(), id);
  }
}

TEST_F(AuthorityTest, ALeafPassesTheStrictChecksOfRfc5280) {
  auto authority = Open();
  ASSERT_TRUE(authority.ok()) << authority.status();
  const Authority::Issued issued = Issue(**authority, RequestFor(kWeb, PublicKey()));
  const spiffe::X509Ptr leaf = ParseCertificate(issued.leaf.der);
  const spiffe::X509Ptr intermediate = ParseCertificate(issued.issuer->chain_der()[0]);
  const spiffe::X509Ptr root = ParseCertificate((*authority)->bundle().authorities_der[0]);
  spiffe::X509StorePtr store(X509_STORE_new());
  X509_STORE_add_cert(store.get(), root.get());
  X509_STORE_set_flags(store.get(), X509_V_FLAG_X509_STRICT | X509_V_FLAG_CHECK_SS_SIGNATURE);
  spiffe::X509StackPtr others(sk_X509_new_null());
  sk_X509_push(others.get(), X509_dup(intermediate.get()));
  spiffe::X509StoreCtxPtr context(X509_STORE_CTX_new());
  X509_STORE_CTX_init(context.get(), store.get(), leaf.get(), others.get());
  EXPECT_EQ(X509_verify_cert(context.get()), 1)
      << X509_verify_cert_error_string(X509_STORE_CTX_get_error(context.get()));
}

TEST_F(AuthorityTest, SerialsAreRandomAndPositive) {
  auto authority = Open();
  ASSERT_TRUE(authority.ok()) << authority.status();
  const std::string key = PublicKey();
  std::set<std::string> serials;
  for (int i = 0; i < 500; ++i) {
    const Authority::Issued issued = Issue(**authority, RequestFor(kWeb, key));
    const spiffe::X509Ptr leaf = ParseCertificate(issued.leaf.der);
    ASSERT_NE(leaf, nullptr);
    EXPECT_EQ(ASN1_STRING_type(X509_get0_serialNumber(leaf.get())), V_ASN1_INTEGER);
    EXPECT_EQ(issued.leaf.serial.size(), 16u);
    serials.insert(issued.leaf.serial);
  }
  EXPECT_EQ(serials.size(), 500u);
}

TEST_F(AuthorityTest, ALeafNeverOutlivesItsIssuer) {
  auto authority = Open("cluster.local", absl::Minutes(10));
  ASSERT_TRUE(authority.ok()) << authority.status();
  const Authority::Issued issued = Issue(**authority, RequestFor(kWeb, PublicKey()));
  EXPECT_LE(issued.not_after, issued.issuer->not_after());
  now_ += absl::Minutes(11);
  const auto result = (*authority)->Issue(RequestFor(kWeb, PublicKey()));
  ASSERT_TRUE(std::holds_alternative<Refused>(result));
  EXPECT_EQ(std::get<Refused>(result).reason, Refusal::AUTHORITY_UNAVAILABLE);
}

TEST_F(AuthorityTest, ARestartKeepsRootAndIntermediate) {
  std::string root;
  std::string intermediate;
  {
    auto authority = Open();
    ASSERT_TRUE(authority.ok()) << authority.status();
    root = (*authority)->bundle().authorities_der[0];
    intermediate = Issue(**authority, RequestFor(kWeb, PublicKey())).issuer->chain_der()[0];
  }
  auto authority = Open();
  ASSERT_TRUE(authority.ok()) << authority.status();
  EXPECT_EQ((*authority)->bundle().authorities_der[0], root);
  EXPECT_EQ(Issue(**authority, RequestFor(kWeb, PublicKey())).issuer->chain_der()[0], intermediate);
}

TEST_F(AuthorityTest, TheIntermediateIsRenewedAtHalfItsLifeAndOldLeavesStayValid) {
  auto authority = Open();
  ASSERT_TRUE(authority.ok()) << authority.status();
  now_ += absl::Hours(24 * 14);
  EXPECT_FALSE(*(*authority)->RenewIfDue());
  const Authority::Issued old = Issue(**authority, RequestFor(kWeb, PublicKey(), absl::Hours(100)));
  now_ += absl::Hours(30);
  EXPECT_TRUE(*(*authority)->RenewIfDue());
  EXPECT_FALSE(*(*authority)->RenewIfDue());
  const Authority::Issued fresh = Issue(**authority, RequestFor(kWeb, PublicKey()));
  EXPECT_NE(fresh.issuer->name(), old.issuer->name());
  spiffe::PeerSvid svid;
  EXPECT_EQ(Verify(**authority, fresh, &svid), spiffe::VerifyError::kNone);
  EXPECT_EQ(Verify(**authority, old, &svid), spiffe::VerifyError::kNone);
}

TEST_F(AuthorityTest, AnExpiredIntermediateIsReplacedAtStart) {
  ASSERT_TRUE(Open().ok());
  now_ += absl::Hours(24 * 60);
  auto authority = Open();
  ASSERT_TRUE(authority.ok()) << authority.status();
  spiffe::PeerSvid svid;
  EXPECT_EQ(Verify(**authority, Issue(**authority, RequestFor(kWeb, PublicKey())), &svid),
            spiffe::VerifyError::kNone);
}

TEST_F(AuthorityTest, ACrashBeforeTheRootIsCompleteLeavesNothingInForce) {
  // What a kill between the first file and the rename leaves.
  std::filesystem::create_directory(dir_ + "/ca.new");
  std::ofstream(dir_ + "/ca.new/root-key.pem") << "half";
  auto authority = Open();
  ASSERT_TRUE(authority.ok()) << authority.status();
  EXPECT_FALSE(std::filesystem::exists(dir_ + "/ca.new"));
}

TEST_F(AuthorityTest, AMissingIntermediateIsMadeAnewUnderTheSameRoot) {
  std::string root;
  {
    auto authority = Open();
    ASSERT_TRUE(authority.ok());
    root = (*authority)->bundle().authorities_der[0];
  }
  std::filesystem::remove(dir_ + "/ca/intermediate.pem");
  auto authority = Open();
  ASSERT_TRUE(authority.ok()) << authority.status();
  EXPECT_EQ((*authority)->bundle().authorities_der[0], root);
}

TEST_F(AuthorityTest, IncompleteStateIsRefusedAndNeverReplaced) {
  ASSERT_TRUE(Open().ok());
  for (const char* name : {"/ca/root.pem", "/ca/root-key.pem"}) {
    std::filesystem::rename(dir_ + name, dir_ + "/away");
    const absl::Status status = Open().status();
    EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
    EXPECT_FALSE(std::filesystem::exists(dir_ + name));
    std::filesystem::rename(dir_ + "/away", dir_ + name);
  }
  EXPECT_TRUE(Open().ok());
}

TEST_F(AuthorityTest, StateThatOthersCanReadIsRefused) {
  ASSERT_TRUE(Open().ok());
  ASSERT_EQ(chmod((dir_ + "/ca/intermediate.pem").c_str(), 0644), 0);
  EXPECT_TRUE(absl::IsFailedPrecondition(Open().status()));
  ASSERT_EQ(chmod((dir_ + "/ca/intermediate.pem").c_str(), 0600), 0);
  ASSERT_EQ(chmod((dir_ + "/ca").c_str(), 0755), 0);
  EXPECT_TRUE(absl::IsFailedPrecondition(Open().status()));
}

TEST_F(AuthorityTest, AnIntermediateOfAnotherRootIsRefused) {
  ASSERT_TRUE(Open().ok());
  const std::string foreign = Read("/ca/intermediate.pem");
  std::filesystem::remove_all(dir_ + "/ca");
  ASSERT_TRUE(Open().ok());
  std::ofstream(dir_ + "/ca/intermediate.pem", std::ios::trunc) << foreign;
  const absl::Status status = Open().status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
}

TEST_F(AuthorityTest, AKeyThatDoesNotBelongToItsCertificateIsRefused) {
  ASSERT_TRUE(Open().ok());
  std::string pem = Read("/ca/intermediate.pem");
  pem = KeyToPem(NewP256Key().get()) + pem.substr(pem.find("-----BEGIN CERTIFICATE"));
  std::ofstream(dir_ + "/ca/intermediate.pem", std::ios::trunc) << pem;
  EXPECT_TRUE(absl::IsFailedPrecondition(Open().status()));
}

TEST_F(AuthorityTest, AnotherTrustDomainIsRefusedWithBothNames) {
  ASSERT_TRUE(Open("cluster.local").ok());
  const absl::Status status = Open("other.test").status();
  EXPECT_TRUE(absl::IsFailedPrecondition(status)) << status;
  EXPECT_NE(status.message().find("cluster.local"), absl::string_view::npos);
  EXPECT_NE(status.message().find("other.test"), absl::string_view::npos);
}

TEST_F(AuthorityTest, AnExpiredRootIsNotSilentlyReplaced) {
  const std::string root = [&] {
    auto authority = Open("cluster.local", absl::Hours(1));
    return (*authority)->bundle().authorities_der[0];
  }();
  now_ += absl::Hours(2);
  const absl::Status status = Open().status();
  EXPECT_FALSE(status.ok());
  EXPECT_NE(status.message().find("expired"), absl::string_view::npos) << status;
}

}  // namespace
}  // namespace countersign::control::ca
