#include "control/identity/svid_issuer.h"

#include <algorithm>
#include <optional>
#include <utility>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "control/ca/csr.h"

namespace countersign::control::identity {
namespace {

using countersign::identity::OrRefused;
using countersign::identity::Refused;
using countersign::identity::v1::Attestation;
using countersign::identity::v1::IdentityRequest;
using countersign::identity::v1::Refusal;

void SetTimestamp(absl::Time time, google::protobuf::Timestamp* timestamp) {
  timestamp->set_seconds(absl::ToUnixSeconds(time));
}

Refused Denied(const spiffe::SpiffeId& id) {
  return {
      Refusal::IDENTITY_DENIED,
      absl::StrCat(id.ToString(), " or its certificate is on the deny list (IdentityRevocation)")};
}

}  // namespace

void SvidIssuer::SetPolicy(const IssuancePolicy& policy) {
  const std::lock_guard lock(mutex_);
  policy_ = policy;
}

void SvidIssuer::Attest(std::span<const Newcomer> newcomers, Answer answer) {
  std::vector<Candidate> candidates;
  candidates.reserve(newcomers.size());
  for (size_t i = 0; i < newcomers.size(); ++i) {
    OrRefused<Candidate> checked = Check(newcomers[i]);
    if (auto* refused = std::get_if<Refused>(&checked)) {
      answer(i, std::move(*refused));
      continue;
    }
    candidates.push_back(std::get<Candidate>(std::move(checked)));
    candidates.back().index = i;
  }
  for (const auto& attestor : options_.attestors) {
    std::vector<std::string> receipts;
    for (Candidate& candidate : candidates) {
      if (candidate.attestor == attestor.get()) receipts.push_back(std::move(candidate.receipt));
    }
    if (receipts.empty()) continue;
    std::vector<std::optional<Refused>> used = attestor->Consume(receipts);
    // Nothing is signed, let alone sent, before this point.
    auto refused = used.begin();
    for (const Candidate& candidate : candidates) {
      if (candidate.attestor != attestor.get()) continue;
      if (refused->has_value()) {
        answer(candidate.index, **std::move(refused));
      } else {
        answer(candidate.index, Sign(candidate.id, candidate.public_key_info, candidate.ttl));
      }
      ++refused;
    }
  }
}

OrRefused<SvidIssuer::Candidate> SvidIssuer::Check(const Newcomer& newcomer) {
  const IdentityRequest& request = newcomer.request;
  const Attestation::KindCase kind = request.attestation().kind_case();
  const auto attestor = std::find_if(options_.attestors.begin(), options_.attestors.end(),
                                     [kind](const auto& a) { return a->kind() == kind; });
  if (attestor == options_.attestors.end()) {
    return Refused{Refusal::ATTESTATION_UNSUPPORTED,
                   "this control plane does not take that kind of attestation; use a join token or "
                   "the present SVID"};
  }
  OrRefused<attest::Attested> result = (*attestor)->Attest(
      {request.attestation(), newcomer.peer_leaf_pem, newcomer.peer_chain_pem, options_.now()});
  if (auto* refused = std::get_if<Refused>(&result)) return std::move(*refused);
  attest::Attested& attested = std::get<attest::Attested>(result);
  const spiffe::SpiffeId& id = attested.id;
  if (id.trust_domain() != options_.trust_domain || id.path().empty() ||
      absl::StartsWith(id.path(), kReservedPath)) {
    return Refused{Refusal::IDENTITY_DENIED,
                   absl::StrCat(id.ToString(), " is not an ID that trust domain ",
                                options_.trust_domain, " gives to workloads")};
  }
  if (options_.trust.view().deny_list->Denies(id, {}, {})) return Denied(id);

  OrRefused<absl::Duration> ttl = ChooseTtl(request);
  if (auto* refused = std::get_if<Refused>(&ttl)) return std::move(*refused);
  OrRefused<ca::Csr> csr = ca::CheckCsr(request.csr(), id);
  if (auto* refused = std::get_if<Refused>(&csr)) return std::move(*refused);
  return Candidate{.index = 0,
                   .attestor = attestor->get(),
                   .id = std::move(attested.id),
                   .receipt = std::move(attested.receipt),
                   .public_key_info = std::get<ca::Csr>(csr).public_key_info,
                   .ttl = std::get<absl::Duration>(ttl)};
}

OrRefused<Granted> SvidIssuer::Renew(const IdentityRequest& request, const Svid& last) {
  if (options_.now() > last.not_after) {
    return Refused{
        Refusal::SVID_INVALID,
        absl::StrCat("the last certificate of this stream expired at ",
                     absl::FormatTime(last.not_after), "; open another stream and attest again")};
  }
  if (options_.trust.view().deny_list->Denies(last.id, last.issuer, last.serial)) {
    return Denied(last.id);
  }
  OrRefused<absl::Duration> ttl = ChooseTtl(request);
  if (auto* refused = std::get_if<Refused>(&ttl)) return std::move(*refused);
  OrRefused<ca::Csr> csr = ca::CheckCsr(request.csr(), last.id);
  if (auto* refused = std::get_if<Refused>(&csr)) return std::move(*refused);
  return Sign(last.id, std::get<ca::Csr>(csr).public_key_info, std::get<absl::Duration>(ttl));
}

OrRefused<absl::Duration> SvidIssuer::ChooseTtl(const IdentityRequest& request) const {
  IssuancePolicy policy;
  {
    const std::lock_guard lock(mutex_);
    policy = policy_;
  }
  const absl::Duration requested = absl::Seconds(request.requested_ttl().seconds()) +
                                   absl::Nanoseconds(request.requested_ttl().nanos());
  if (requested == absl::ZeroDuration()) return policy.ttl;
  if (requested > policy.max_ttl) {
    return Refused{Refusal::TTL_TOO_LONG,
                   absl::StrCat("a life of ", absl::FormatDuration(requested),
                                " was asked for; Mesh.spec.certificates.maxTtl allows ",
                                absl::FormatDuration(policy.max_ttl))};
  }
  const absl::Duration least = std::min(policy.min_ttl, policy.ttl);
  if (requested < least) {
    return Refused{Refusal::MALFORMED_REQUEST,
                   absl::StrCat("a life of ", absl::FormatDuration(requested),
                                " was asked for; the least that this control plane issues is ",
                                absl::FormatDuration(least))};
  }
  return requested;
}

OrRefused<Granted> SvidIssuer::Sign(const spiffe::SpiffeId& id, absl::string_view public_key_info,
                                    absl::Duration ttl) const {
  OrRefused<ca::Authority::Issued> result =
      options_.authority.Issue({id, public_key_info, ttl, /*dns_names=*/{}});
  if (auto* refused = std::get_if<Refused>(&result)) return std::move(*refused);
  ca::Authority::Issued& issued = std::get<ca::Authority::Issued>(result);
  Granted granted;
  granted.svid.id = id;
  granted.svid.issuer = issued.issuer->name();
  granted.svid.serial = std::move(issued.leaf.serial);
  granted.svid.not_after = issued.not_after;
  granted.message.set_spiffe_id(id.ToString());
  granted.message.add_chain(std::move(issued.leaf.der));
  for (const std::string& der : issued.issuer->chain_der()) granted.message.add_chain(der);
  SetTimestamp(issued.not_before, granted.message.mutable_not_before());
  SetTimestamp(issued.not_after, granted.message.mutable_not_after());
  // Half of what is left, not of the back-dated whole: a certificate of seconds would otherwise be
  // due before it arrives.
  const absl::Time now = options_.now();
  const absl::Time renew_at = now + (issued.not_after - now) / 2;
  SetTimestamp(renew_at, granted.message.mutable_renew_at());
  granted.message.mutable_renew_at()->set_nanos(static_cast<int32_t>(
      (renew_at - absl::FromUnixSeconds(absl::ToUnixSeconds(renew_at))) / absl::Nanoseconds(1)));
  return granted;
}

}  // namespace countersign::control::identity
