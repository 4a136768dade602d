// From an answer of the control plane to the next secret, or to the reason why not. Pure.
#ifndef COUNTERSIGN_PROXY_IDENTITY_RESPONSE_INTAKE_H_
#define COUNTERSIGN_PROXY_IDENTITY_RESPONSE_INTAKE_H_

#include <memory>
#include <string>

#include "absl/time/time.h"
#include "api/identity/v1/identity.pb.h"
#include "proxy/identity/secret_snapshot.h"

namespace countersign::identity {

struct IntakeInput {
  // May be null: nothing is in force yet.
  const SecretSnapshot* current = nullptr;
  // Of the request that this answers; null for a push, which must not carry a certificate.
  EVP_PKEY* key = nullptr;
  std::string trust_domain;
  absl::Time now;
};

struct IntakeResult {
  // What to put in force; null if the answer changes nothing or is rejected.
  std::shared_ptr<const SecretSnapshot> next;
  // The proxy's own certificate no longer chains to the new bundles, or is denied.
  bool own_certificate_invalid = false;
  // When rejected: a metric label and a sentence. Nothing of the answer is applied then.
  std::string rejected_label;
  std::string rejected_reason;

  bool rejected() const { return !rejected_label.empty(); }
};

// Verifies everything before anything is used: the chain against the bundles that come with it (or
// are in force), the key, the identity, which must be in our trust domain and never changes in a
// process.
IntakeResult TakeResponse(const countersign::identity::v1::IdentityResponse& response,
                          const IntakeInput& input);

}  // namespace countersign::identity

#endif  // COUNTERSIGN_PROXY_IDENTITY_RESPONSE_INTAKE_H_
