#include "control/attest/join_token_attestor.h"

namespace countersign::control::attest {
namespace {

using countersign::identity::Refused;
using countersign::identity::v1::Refusal;

constexpr char kMakeAnother[] =
    "; make another with `countersign-control token create` and give it to the proxy";

Refused ToRefused(const absl::Status& status) {
  switch (status.code()) {
    case absl::StatusCode::kNotFound:
      return {Refusal::TOKEN_UNKNOWN,
              std::string("the control plane knows no such join token") + kMakeAnother};
    case absl::StatusCode::kAlreadyExists:
      return {Refusal::TOKEN_ALREADY_USED,
              std::string("the join token has been used already; if it was not by this proxy, "
                          "revoke the identity that it was made for") +
                  kMakeAnother};
    case absl::StatusCode::kDeadlineExceeded:
      return {Refusal::TOKEN_EXPIRED, std::string(status.message()) + kMakeAnother};
    default:
      return {Refusal::INTERNAL, "the control plane cannot read its join tokens; its log says why",
              absl::Seconds(10)};
  }
}

}  // namespace

countersign::identity::OrRefused<spiffe::SpiffeId> JoinTokenAttestor::Attest(
    const Evidence& evidence) {
  absl::StatusOr<spiffe::SpiffeId> id =
      store_.Look(evidence.attestation.join_token(), evidence.now);
  if (!id.ok()) return ToRefused(id.status());
  return *std::move(id);
}

std::optional<countersign::identity::Refused> JoinTokenAttestor::Consume(const Evidence& evidence) {
  const absl::Status status = store_.Consume(evidence.attestation.join_token(), evidence.now);
  if (!status.ok()) return ToRefused(status);
  return std::nullopt;
}

}  // namespace countersign::control::attest
