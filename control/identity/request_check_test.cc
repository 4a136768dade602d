#include "control/identity/request_check.h"

#include <gtest/gtest.h>

namespace countersign::control::identity {
namespace {

using countersign::identity::v1::IdentityRequest;
using countersign::identity::v1::Refusal;

IdentityRequest First() {
  IdentityRequest request;
  request.set_request_id("proxy-1.a_b");
  request.mutable_attestation()->set_join_token("token");
  request.set_csr("csr");
  return request;
}

Refusal::Reason ReasonFor(const IdentityRequest& request, const StreamPosition& position = {}) {
  const auto refused = CheckRequest(request, position);
  return refused.has_value() ? refused->reason : Refusal::REASON_UNSPECIFIED;
}

TEST(RequestCheckTest, AnOrdinaryFirstRequestIsTaken) {
  EXPECT_EQ(ReasonFor(First()), Refusal::REASON_UNSPECIFIED);
}

TEST(RequestCheckTest, AnAcknowledgementNeedsNoCsr) {
  IdentityRequest request;
  request.set_acked_version(3);
  EXPECT_EQ(ReasonFor(request, {true, 3}), Refusal::REASON_UNSPECIFIED);
}

TEST(RequestCheckTest, AFirstRequestWithoutEvidenceIsRefused) {
  IdentityRequest request = First();
  request.clear_attestation();
  EXPECT_EQ(ReasonFor(request), Refusal::ATTESTATION_MISSING);
  request.mutable_attestation();
  EXPECT_EQ(ReasonFor(request), Refusal::ATTESTATION_MISSING);
}

TEST(RequestCheckTest, EvidenceInALaterRequestIsRefused) {
  EXPECT_EQ(ReasonFor(First(), {true, 1}), Refusal::MALFORMED_REQUEST);
}

TEST(RequestCheckTest, AFirstRequestWithoutACsrIsRefused) {
  IdentityRequest request = First();
  request.clear_csr();
  EXPECT_EQ(ReasonFor(request), Refusal::CSR_MALFORMED);
}

TEST(RequestCheckTest, RequestIdsAreShortAndPlain) {
  IdentityRequest request = First();
  for (const std::string& bad : {std::string(65, 'a'), std::string("a b"), std::string("a\nb"),
                                 std::string("a\0b", 3), std::string("<script>")}) {
    request.set_request_id(bad);
    EXPECT_EQ(ReasonFor(request), Refusal::MALFORMED_REQUEST);
  }
  request.set_request_id(std::string(64, 'a'));
  EXPECT_EQ(ReasonFor(request), Refusal::REASON_UNSPECIFIED);
}

TEST(RequestCheckTest, OversizedFieldsAreRefused) {
  IdentityRequest request = First();
  request.set_csr(std::string(8 * 1024 + 1, 'x'));
  EXPECT_EQ(ReasonFor(request), Refusal::CSR_TOO_LARGE);
  request = First();
  request.mutable_attestation()->set_join_token(std::string(257, 'x'));
  EXPECT_EQ(ReasonFor(request), Refusal::MALFORMED_REQUEST);
  request.mutable_attestation()->set_kubernetes_token(std::string(16 * 1024 + 1, 'x'));
  EXPECT_EQ(ReasonFor(request), Refusal::MALFORMED_REQUEST);
  request.mutable_attestation()->set_join_token("");
  EXPECT_EQ(ReasonFor(request), Refusal::MALFORMED_REQUEST);
}

TEST(RequestCheckTest, UnknownFieldsCountTowardsTheSize) {
  IdentityRequest request = First();
  request.GetReflection()->MutableUnknownFields(&request)->AddLengthDelimited(
      999, std::string(kMaxRequestBytes, 'x'));
  EXPECT_EQ(ReasonFor(request), Refusal::MALFORMED_REQUEST);
}

TEST(RequestCheckTest, VersionsThatWereNeverSentCannotBeAcknowledged) {
  IdentityRequest request;
  request.set_acked_version(4);
  EXPECT_EQ(ReasonFor(request, {true, 3}), Refusal::MALFORMED_REQUEST);
  request = First();
  request.set_acked_version(1);
  EXPECT_EQ(ReasonFor(request), Refusal::MALFORMED_REQUEST);
}

TEST(RequestCheckTest, NegativeLivesAreRefused) {
  IdentityRequest request = First();
  request.mutable_requested_ttl()->set_seconds(-1);
  EXPECT_EQ(ReasonFor(request), Refusal::MALFORMED_REQUEST);
  request.mutable_requested_ttl()->set_seconds(1);
  request.mutable_requested_ttl()->set_nanos(-1);
  EXPECT_EQ(ReasonFor(request), Refusal::MALFORMED_REQUEST);
}

}  // namespace
}  // namespace countersign::control::identity
