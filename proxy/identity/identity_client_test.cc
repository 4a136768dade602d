#include "proxy/identity/identity_client.h"

#include <openssl/x509.h>

#include <deque>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "api/spiffe/testing/test_authority.h"
#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace countersign::identity {
namespace {

using spiffe::testing::IssuedLeaf;
using spiffe::testing::LeafOptions;
using spiffe::testing::TestAuthority;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr char kWeb[] = "spiffe://mesh.test/ns/shop/sa/web";
constexpr char kControl[] = "spiffe://mesh.test/countersign/control";

// A control plane's end of each stream, moved by hand.
class ScriptedDialer final : public ControlDialer {
 public:
  struct Opened {
    ControlStreamParams params;
    ControlStream::Handler* handler;
    std::vector<v1::IdentityRequest> requests;
    bool closed = false;
  };

  std::unique_ptr<ControlStream> Open(const ControlStreamParams& params,
                                      ControlStream::Handler& handler) override {
    streams.push_back({params, &handler, {}, false});
    return std::make_unique<Stream>(*this, streams.size() - 1);
  }

  Opened& last() { return streams.back(); }

  std::deque<Opened> streams;

 private:
  class Stream final : public ControlStream {
   public:
    Stream(ScriptedDialer& dialer, size_t index) : dialer_(dialer), index_(index) {}
    ~Stream() override { dialer_.streams[index_].closed = true; }
    void Send(std::string message) override {
      v1::IdentityRequest request;
      ASSERT_TRUE(request.ParseFromString(message));
      dialer_.streams[index_].requests.push_back(request);
    }

   private:
    ScriptedDialer& dialer_;
    const size_t index_;
  };
};

class IdentityClientTest : public ::testing::Test, public SecretSink {
 protected:
  IdentityClientTest()
      : clock_(absl::FromUnixSeconds(absl::ToUnixSeconds(absl::Now()))),
        timers_(clock_),
        authority_("mesh.test") {
    store_.AddSink(*this);
    options_.control_id = *spiffe::SpiffeId::Parse(kControl);
    options_.bootstrap_bundles = [this] {
      return absl::StatusOr<std::shared_ptr<const spiffe::BundleSet>>(authority_.bundles(0));
    };
    options_.join_token = [this]() -> absl::StatusOr<std::string> {
      ++token_reads_;
      return std::string("s3cret");
    };
    options_.random = [this] { return random_; };
  }

  void OnSecret(std::shared_ptr<const SecretSnapshot> secret) override {
    secrets_.push_back(std::move(secret));
  }

  void Start() {
    client_ = std::make_unique<IdentityClient>(options_, dialer_, store_, timers_, stats_);
    client_->Start();
  }

  void Advance(std::chrono::milliseconds by) {
    for (; by.count() > 0; by -= std::chrono::milliseconds(50)) {
      clock_.Advance(std::chrono::milliseconds(50));
      timers_.UpdateNow();
      timers_.RunDue();
    }
  }

  // A full answer to the last request of the last stream.
  v1::IdentityResponse Answer(std::chrono::seconds ttl = std::chrono::hours(1),
                              const char* id = kWeb) {
    const v1::IdentityRequest* asked = nullptr;
    for (const v1::IdentityRequest& request : dialer_.last().requests) {
      asked = request.csr().empty() ? asked : &request;
    }
    const auto* at = reinterpret_cast<const uint8_t*>(asked->csr().data());
    spiffe::X509ReqPtr csr(d2i_X509_REQ(nullptr, &at, static_cast<long>(asked->csr().size())));
    LeafOptions leaf;
    leaf.uris = {id};
    leaf.key = X509_REQ_get0_pubkey(csr.get());
    leaf.not_before = clock_.Wall() - absl::Seconds(30);
    leaf.not_after = clock_.Wall() + absl::FromChrono(ttl);
    const IssuedLeaf issued = authority_.Issue(leaf);
    v1::IdentityResponse response;
    response.set_request_id(asked->request_id());
    response.set_correlation_id("corr-1");
    response.set_version(++version_);
    response.mutable_svid()->set_spiffe_id(id);
    for (const std::string& der : issued.chain_der) {
      response.mutable_svid()->add_chain(der);
    }
    response.mutable_svid()->mutable_renew_at()->set_seconds(absl::ToUnixSeconds(clock_.Wall()) +
                                                             ttl.count() / 2);
    *response.mutable_trust_bundles() = Bundles(authority_);
    response.mutable_deny_list()->set_epoch(1);
    return response;
  }

  static v1::TrustBundles Bundles(const TestAuthority& authority) {
    v1::TrustBundles bundles;
    bundles.set_epoch(7);
    v1::TrustBundle* bundle = bundles.add_bundles();
    bundle->set_trust_domain(authority.trust_domain());
    bundle->add_authorities(authority.root_der());
    return bundles;
  }

  v1::IdentityResponse Refusal(v1::Refusal::Reason reason) {
    v1::IdentityResponse response;
    response.set_request_id(dialer_.last().requests.back().request_id());
    response.set_correlation_id("corr-9");
    response.mutable_refusal()->set_reason(reason);
    response.mutable_refusal()->set_message("because");
    return response;
  }

  void Deliver(const v1::IdentityResponse& response) {
    dialer_.last().handler->OnMessage(response.SerializeAsString());
  }

  // The control plane goes away.
  void Lose() { dialer_.last().handler->OnClosed(absl::UnavailableError("connection reset")); }

  event::SimulatedClock clock_;
  event::TimerQueue timers_;
  TestAuthority authority_;
  ScriptedDialer dialer_;
  SecretStore store_;
  stats::Registry stats_;
  IdentityClientOptions options_;
  std::unique_ptr<IdentityClient> client_;
  std::vector<std::shared_ptr<const SecretSnapshot>> secrets_;
  double random_ = 0.5;
  int token_reads_ = 0;
  uint64_t version_ = 0;
};

TEST_F(IdentityClientTest, AttestsByTokenWithoutClientCertificateAndPublishesWhatItGot) {
  Start();
  ASSERT_EQ(dialer_.streams.size(), 1u);
  EXPECT_EQ(dialer_.last().params.client, nullptr);
  EXPECT_EQ(dialer_.last().params.control_id.ToString(), kControl);
  const v1::IdentityRequest& request = dialer_.last().requests.at(0);
  EXPECT_EQ(request.attestation().join_token(), "s3cret");
  EXPECT_THAT(client_->NotReadyReason(), HasSubstr("no certificate yet"));
  Deliver(Answer());
  ASSERT_EQ(secrets_.size(), 1u);
  EXPECT_EQ(secrets_[0]->id.ToString(), kWeb);
  EXPECT_EQ(secrets_[0]->bundles->epoch(), 7u);
  EXPECT_EQ(client_->NotReadyReason(), "");
  client_->UpdateGauges();
  EXPECT_THAT(stats_.Serialize(),
              HasSubstr("countersign_trust_anchor_expiry_seconds{trust_domain=\"mesh.test\"} 3"));
  // ... and acknowledges it, without attestation or CSR.
  const v1::IdentityRequest& ack = dialer_.last().requests.at(1);
  EXPECT_EQ(ack.acked_version(), 1u);
  EXPECT_TRUE(ack.csr().empty());
  EXPECT_FALSE(ack.has_attestation());
}

TEST_F(IdentityClientTest, RenewsBeforeHalfLifeWithANewKeyOnTheSameStream) {
  Start();
  Deliver(Answer());
  Advance(std::chrono::seconds(1610));
  EXPECT_EQ(dialer_.last().requests.size(), 2u);  // renew_at less 10 %, at random = 0.5: 1,620 s
  Advance(std::chrono::seconds(15));
  ASSERT_EQ(dialer_.last().requests.size(), 3u);
  EXPECT_EQ(dialer_.streams.size(), 1u);
  const std::string second_csr = dialer_.last().requests[2].csr();
  EXPECT_NE(dialer_.last().requests[0].csr(), second_csr);
  EXPECT_FALSE(dialer_.last().requests[2].has_attestation());
  Deliver(Answer());
  ASSERT_EQ(secrets_.size(), 2u);
  EXPECT_EQ(EVP_PKEY_eq(secrets_[0]->key.get(), secrets_[1]->key.get()), 0);
  EXPECT_GT(secrets_[1]->generation, secrets_[0]->generation);
  EXPECT_EQ(token_reads_, 1);
}

TEST_F(IdentityClientTest,
       AfterLossOfTheStreamItAttestsWithItsCertificateAndNeverAgainWithTheToken) {
  Start();
  Deliver(Answer());
  Lose();
  EXPECT_TRUE(dialer_.last().closed);
  EXPECT_EQ(client_->NotReadyReason(), "");
  Advance(std::chrono::seconds(1));
  ASSERT_EQ(dialer_.streams.size(), 2u);
  EXPECT_EQ(dialer_.last().params.client, secrets_[0]);
  EXPECT_TRUE(dialer_.last().requests.at(0).attestation().has_svid());
  EXPECT_EQ(token_reads_, 1);
  version_ = 0;  // versions are a stream's own
  Deliver(Answer());
  EXPECT_EQ(secrets_.size(), 2u);
}

TEST_F(IdentityClientTest, ReconnectsAreSpreadByFullJitterThatGrows) {
  Start();
  Deliver(Answer());
  random_ = 0.99;
  Lose();
  Advance(std::chrono::milliseconds(950));
  EXPECT_EQ(dialer_.streams.size(), 1u);
  Advance(std::chrono::milliseconds(150));
  EXPECT_EQ(dialer_.streams.size(), 2u);
  Lose();
  Advance(std::chrono::milliseconds(1900));
  EXPECT_EQ(dialer_.streams.size(), 2u);
  Advance(std::chrono::milliseconds(200));
  EXPECT_EQ(dialer_.streams.size(), 3u);
  // The other end of the jitter.
  random_ = 0;
  Lose();
  Advance(std::chrono::milliseconds(150));
  EXPECT_EQ(dialer_.streams.size(), 4u);
  // The ceiling.
  random_ = 0.99;
  for (int i = 0; i < 10; ++i) {
    Lose();
    Advance(std::chrono::milliseconds(30'100));
  }
  EXPECT_EQ(dialer_.streams.size(), 14u);
}

TEST_F(IdentityClientTest, RetriesComeCloserWhenLittleLifeIsLeft) {
  Start();
  Deliver(Answer(std::chrono::seconds(12)));
  random_ = 0.99;
  size_t before = dialer_.streams.size();
  for (int i = 0; i < 200 && client_->NotReadyReason().find("expired") == std::string::npos; ++i) {
    if (!dialer_.last().closed) {
      Lose();
    }
    Advance(std::chrono::milliseconds(100));
  }
  EXPECT_GE(dialer_.streams.size() - before, 6u);
}

TEST_F(IdentityClientTest, ReadinessDegradesBeforeExpiryAndTheTokenIsTriedAfterIt) {
  Start();
  Deliver(Answer(std::chrono::seconds(600)));
  Lose();
  for (int i = 0; i < 49; ++i) {
    Advance(std::chrono::seconds(10));
    if (!dialer_.last().closed) {
      Lose();
    }
  }
  EXPECT_EQ(client_->NotReadyReason(), "");
  for (int i = 0; i < 3; ++i) {
    Advance(std::chrono::seconds(5));
    if (!dialer_.last().closed) {
      Lose();
    }
  }
  EXPECT_THAT(client_->NotReadyReason(), HasSubstr("could not be renewed"));
  EXPECT_EQ(token_reads_, 1);
  Advance(std::chrono::seconds(120));
  EXPECT_THAT(client_->NotReadyReason(), HasSubstr("expired"));
  client_->UpdateGauges();
  EXPECT_THAT(stats_.Serialize(), HasSubstr("countersign_certificate_expiry_seconds{spiffe_id=\"" +
                                            std::string(kWeb) + "\"} -"));
  Lose();
  Advance(std::chrono::seconds(31));
  EXPECT_GT(token_reads_, 1);
  EXPECT_EQ(dialer_.last().params.client, nullptr);
}

TEST_F(IdentityClientTest, ACertificateOfSecondsIsNotDegradedByItsBackDating) {
  Start();
  Deliver(Answer(std::chrono::seconds(6)));
  Advance(std::chrono::milliseconds(4900));
  EXPECT_EQ(client_->NotReadyReason(), "");
  Advance(std::chrono::milliseconds(200));
  EXPECT_THAT(client_->NotReadyReason(), HasSubstr("could not be renewed"));
}

TEST_F(IdentityClientTest, AnUnansweredRequestCostsTheStream) {
  Start();
  Advance(std::chrono::seconds(21));
  EXPECT_TRUE(dialer_.streams[0].closed);
  EXPECT_THAT(client_->last_error(), HasSubstr("did not answer"));
  Advance(std::chrono::seconds(2));
  EXPECT_EQ(dialer_.streams.size(), 2u);
}

TEST_F(IdentityClientTest, FatalRefusalsAreToldInWordsAndRetriedSlowly) {
  Start();
  Deliver(Refusal(v1::Refusal::TOKEN_ALREADY_USED));
  EXPECT_THAT(client_->last_error(), HasSubstr("token_already_used: because"));
  EXPECT_THAT(client_->last_error(), HasSubstr("corr-9"));
  Advance(std::chrono::seconds(60));
  EXPECT_EQ(dialer_.streams.size(), 1u);
  Advance(std::chrono::seconds(65));
  EXPECT_EQ(dialer_.streams.size(), 2u);
  EXPECT_THAT(stats_.Serialize(),
              HasSubstr("countersign_identity_refusals_total{reason=\"token_already_used\"} 1"));
}

TEST_F(IdentityClientTest, RetryAfterIsHonouredAndSpread) {
  Start();
  v1::IdentityResponse refusal = Refusal(v1::Refusal::RATE_LIMITED);
  refusal.mutable_refusal()->mutable_retry_after()->set_seconds(10);
  Deliver(refusal);
  Advance(std::chrono::seconds(14));
  EXPECT_EQ(dialer_.streams.size(), 1u);
  Advance(std::chrono::milliseconds(1200));
  EXPECT_EQ(dialer_.streams.size(), 2u);
}

TEST_F(IdentityClientTest, ARefusedRenewalKeepsTheStreamAndTheCertificate) {
  Start();
  Deliver(Answer());
  Advance(std::chrono::seconds(1625));
  Deliver(Refusal(v1::Refusal::AUTHORITY_UNAVAILABLE));
  EXPECT_FALSE(dialer_.last().closed);
  Advance(std::chrono::seconds(2));
  EXPECT_EQ(dialer_.streams.size(), 1u);
  EXPECT_FALSE(dialer_.last().requests.back().csr().empty());
  Deliver(Answer());
  EXPECT_EQ(secrets_.size(), 2u);
}

TEST_F(IdentityClientTest, WhenTheCertificateIsRefusedForGoodTheTokenIsNext) {
  Start();
  Deliver(Answer());
  Lose();
  Advance(std::chrono::seconds(1));
  Deliver(Refusal(v1::Refusal::SVID_INVALID));
  Advance(std::chrono::seconds(5));
  ASSERT_EQ(dialer_.streams.size(), 3u);
  EXPECT_TRUE(dialer_.last().requests[0].attestation().has_join_token());
}

TEST_F(IdentityClientTest, RenewNowIsFollowedSoonWithJitter) {
  Start();
  Deliver(Answer());
  v1::IdentityResponse push;
  push.set_version(++version_);
  push.mutable_renew_now()->set_reason("authority changed");
  Deliver(push);
  Advance(std::chrono::seconds(4));
  EXPECT_TRUE(dialer_.last().requests.back().csr().empty());
  Advance(std::chrono::seconds(2));
  EXPECT_FALSE(dialer_.last().requests.back().csr().empty());
  Deliver(Answer());
  EXPECT_THAT(stats_.Serialize(),
              HasSubstr("countersign_identity_rotations_total{cause=\"requested\"} 1"));
}

TEST_F(IdentityClientTest, PushedBundlesAreInForceWithTheSameCertificate) {
  Start();
  Deliver(Answer());
  TestAuthority other("partner.test");
  v1::IdentityResponse push;
  push.set_version(++version_);
  *push.mutable_trust_bundles() = Bundles(authority_);
  push.mutable_trust_bundles()->set_epoch(8);
  *push.mutable_trust_bundles()->add_bundles() = Bundles(other).bundles(0);
  Deliver(push);
  ASSERT_EQ(secrets_.size(), 2u);
  EXPECT_EQ(secrets_[1]->key.get(), secrets_[0]->key.get());
  EXPECT_EQ(secrets_[1]->bundles->epoch(), 8u);
  EXPECT_EQ(dialer_.last().requests.back().acked_version(), version_);
}

TEST_F(IdentityClientTest, ABundleWithoutOurIssuerMakesUsRenew) {
  Start();
  Deliver(Answer());
  TestAuthority fresh_root("mesh.test");
  v1::IdentityResponse push;
  push.set_version(++version_);
  *push.mutable_trust_bundles() = Bundles(fresh_root);
  Deliver(push);
  Advance(std::chrono::seconds(11));
  EXPECT_FALSE(dialer_.last().requests.back().csr().empty());
}

// Every wrong answer leaves what is in force alone and costs the stream.
class WrongAnswerTest : public IdentityClientTest {
 protected:
  void ExpectRejected(const v1::IdentityResponse& response, const std::string& label) {
    const size_t before = secrets_.size();
    Deliver(response);
    EXPECT_EQ(secrets_.size(), before);
    EXPECT_TRUE(dialer_.last().closed);
    EXPECT_THAT(
        stats_.Serialize(),
        HasSubstr("countersign_identity_responses_rejected_total{reason=\"" + label + "\"} 1"));
    EXPECT_THAT(client_->last_error(), Not(testing::IsEmpty()));
  }
};

TEST_F(WrongAnswerTest, ForeignKey) {
  Start();
  v1::IdentityResponse response = Answer();
  response.mutable_svid()->clear_chain();
  for (const std::string& der : authority_.Issue(kWeb).chain_der) {
    response.mutable_svid()->add_chain(der);
  }
  ExpectRejected(response, "foreign_key");
}

TEST_F(WrongAnswerTest, ChainToAnotherRoot) {
  Start();
  v1::IdentityResponse response = Answer();
  *response.mutable_trust_bundles() = Bundles(TestAuthority("mesh.test"));
  ExpectRejected(response, "untrusted_chain");
}

TEST_F(WrongAnswerTest, AnotherTrustDomain) {
  Start();
  v1::IdentityResponse response = Answer();
  *response.mutable_trust_bundles() = Bundles(TestAuthority("evil.test"));
  ExpectRejected(response, "bundle_missing");
}

TEST_F(WrongAnswerTest, SaysAnotherIdThanItsCertificate) {
  Start();
  v1::IdentityResponse response = Answer();
  response.mutable_svid()->set_spiffe_id("spiffe://mesh.test/ns/shop/sa/db");
  ExpectRejected(response, "inconsistent_id");
}

TEST_F(WrongAnswerTest, IdentityChangesUnderUs) {
  Start();
  Deliver(Answer());
  Advance(std::chrono::seconds(1625));
  ExpectRejected(Answer(std::chrono::hours(1), "spiffe://mesh.test/ns/shop/sa/db"),
                 "identity_changed");
}

TEST_F(WrongAnswerTest, ExpiredCertificate) {
  Start();
  ExpectRejected(Answer(std::chrono::seconds(-5)), "expired");
}

TEST_F(WrongAnswerTest, CertificateNobodyAskedFor) {
  Start();
  Deliver(Answer());
  v1::IdentityResponse response = Answer();
  response.clear_request_id();
  ExpectRejected(response, "unasked_certificate");
}

TEST_F(WrongAnswerTest, OldVersion) {
  Start();
  v1::IdentityResponse response = Answer();
  response.set_version(0);
  ExpectRejected(response, "version_not_newer");
}

TEST_F(WrongAnswerTest, NoBundlesAtFirst) {
  Start();
  v1::IdentityResponse response = Answer();
  response.clear_trust_bundles();
  ExpectRejected(response, "incomplete_state");
}

TEST_F(WrongAnswerTest, BrokenDenyListLeavesTheNewBundlesUnused) {
  Start();
  v1::IdentityResponse response = Answer();
  response.mutable_deny_list()->add_entries()->set_spiffe_id("not a spiffe id");
  ExpectRejected(response, "malformed_deny_list");
}

TEST_F(WrongAnswerTest, Garbage) {
  Start();
  dialer_.last().handler->OnMessage("\xFF\xFF garbage");
  EXPECT_TRUE(dialer_.last().closed);
  EXPECT_TRUE(secrets_.empty());
}

}  // namespace
}  // namespace countersign::identity
