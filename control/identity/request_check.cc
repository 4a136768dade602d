#include "control/identity/request_check.h"

#include <algorithm>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "control/ca/csr.h"

namespace countersign::control::identity {
namespace {

using countersign::identity::Refused;
using countersign::identity::v1::Attestation;
using countersign::identity::v1::IdentityRequest;
using countersign::identity::v1::Refusal;

Refused Malformed(std::string message) { return {Refusal::MALFORMED_REQUEST, std::move(message)}; }

bool IsRequestId(const std::string& id) {
  return id.size() <= kMaxRequestIdBytes && std::all_of(id.begin(), id.end(), [](char c) {
           return absl::ascii_isalnum(static_cast<unsigned char>(c)) || c == '.' || c == '_' ||
                  c == '-';
         });
}

std::optional<Refused> CheckAttestation(const Attestation& attestation) {
  switch (attestation.kind_case()) {
    case Attestation::kJoinToken:
      if (attestation.join_token().empty() ||
          attestation.join_token().size() > kMaxJoinTokenBytes) {
        return Malformed(absl::StrCat("a join token has between 1 and ", kMaxJoinTokenBytes,
                                      " bytes; this one has ", attestation.join_token().size()));
      }
      return std::nullopt;
    case Attestation::kKubernetesToken:
      if (attestation.kubernetes_token().size() > kMaxKubernetesTokenBytes) {
        return Malformed(absl::StrCat("a Kubernetes token has at most ", kMaxKubernetesTokenBytes,
                                      " bytes; this one has ",
                                      attestation.kubernetes_token().size()));
      }
      return std::nullopt;
    case Attestation::kSvid:
      return std::nullopt;
    case Attestation::KIND_NOT_SET:
      break;
  }
  return Refused{Refusal::ATTESTATION_MISSING,
                 "the first request of a stream must carry an attestation: a join token, or `svid` "
                 "over a connection with a client certificate"};
}

}  // namespace

std::optional<Refused> CheckRequest(const IdentityRequest& request,
                                    const StreamPosition& position) {
  if (!IsRequestId(request.request_id())) {
    return Malformed(absl::StrCat("request_id has at most ", kMaxRequestIdBytes,
                                  " letters, digits and .-_ and no other bytes"));
  }
  if (request.csr().size() > ca::kMaxCsrBytes) {
    return Refused{Refusal::CSR_TOO_LARGE,
                   absl::StrCat("the certificate signing request has ", request.csr().size(),
                                " bytes; the limit is ", ca::kMaxCsrBytes)};
  }
  if (request.ByteSizeLong() > kMaxRequestBytes) {
    return Malformed(absl::StrCat("a request has at most ", kMaxRequestBytes, " bytes"));
  }
  if (request.acked_version() > position.last_version) {
    return Malformed("acked_version names a response that was never sent on this stream");
  }
  const auto& ttl = request.requested_ttl();
  if (ttl.seconds() < 0 || ttl.nanos() < 0 || ttl.nanos() > 999'999'999) {
    return Malformed("requested_ttl must not be negative");
  }
  if (position.attested) {
    if (request.has_attestation()) {
      return Malformed(
          "only the first request of a stream carries an attestation; open another "
          "stream to attest again");
    }
    return std::nullopt;
  }
  const std::optional<Refused> refused = CheckAttestation(request.attestation());
  if (refused.has_value()) return refused;
  if (request.csr().empty()) {
    return Refused{Refusal::CSR_MALFORMED,
                   "the first request of a stream must carry a certificate signing request"};
  }
  return std::nullopt;
}

}  // namespace countersign::control::identity
