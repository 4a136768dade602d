#include "control/attest/join_token_attestor.h"

#include <spdlog/spdlog.h>

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
      spdlog::error("join token: {}", std::string(status.message()));
      return {Refusal::INTERNAL, "the control plane cannot read its join tokens; its log says why",
              absl::Seconds(10)};
  }
}

}  // namespace

countersign::identity::OrRefused<Attested> JoinTokenAttestor::Attest(const Evidence& evidence) {
  absl::StatusOr<JoinTokenStore::Unused> unused =
      store_.Look(evidence.attestation.join_token(), evidence.now);
  if (!unused.ok()) return ToRefused(unused.status());
  return Attested{std::move(unused->id), std::move(unused->name)};
}

std::vector<std::optional<Refused>> JoinTokenAttestor::Consume(
    std::span<const std::string> receipts) {
  std::vector<std::optional<Refused>> results(receipts.size());
  const std::vector<absl::Status> statuses = store_.Consume(receipts);
  for (size_t i = 0; i < receipts.size(); ++i) {
    if (!statuses[i].ok()) results[i] = ToRefused(statuses[i]);
  }
  return results;
}

}  // namespace countersign::control::attest
