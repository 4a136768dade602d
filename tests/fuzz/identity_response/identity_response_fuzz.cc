// Answers of a control plane gone mad: nothing that was not verified is ever published.
#include <cstdint>
#include <cstdlib>

#include "absl/time/clock.h"
#include "api/spiffe/testing/test_authority.h"
#include "proxy/identity/response_intake.h"

namespace {

using countersign::identity::SecretSnapshot;

struct InForce {
  InForce() : authority("mesh.test"), key(countersign::spiffe::testing::NewKey()) {
    auto leaf = authority.Issue("spiffe://mesh.test/ns/shop/sa/web");
    current.generation = 1;
    current.id = *countersign::spiffe::SpiffeId::Parse("spiffe://mesh.test/ns/shop/sa/web");
    current.chain.push_back(std::move(leaf.certificate));
    current.key = std::move(leaf.key);
    current.bundles = authority.bundles();
    current.deny_list = std::make_shared<const countersign::spiffe::DenyList>();
  }
  countersign::spiffe::testing::TestAuthority authority;
  countersign::spiffe::EvpPkeyPtr key;  // of the request that waits
  SecretSnapshot current;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  namespace identity = countersign::identity;
  static auto* const in_force = new InForce;
  identity::v1::IdentityResponse response;
  if (!response.ParseFromArray(data, static_cast<int>(size))) return 0;
  for (const SecretSnapshot* current :
       {&in_force->current, static_cast<SecretSnapshot*>(nullptr)}) {
    const identity::IntakeResult result =
        identity::TakeResponse(response, {.current = current,
                                          .key = in_force->key.get(),
                                          .trust_domain = "mesh.test",
                                          .now = absl::Now()});
    if (result.rejected() && (result.next != nullptr || result.rejected_reason.empty())) {
      std::abort();
    }
    // Nobody but the authority can make a certificate for the waiting key, so there is none.
    if (result.next != nullptr &&
        (current == nullptr || result.next->chain[0].get() != current->chain[0].get() ||
         result.next->bundles == nullptr || result.next->deny_list == nullptr)) {
      std::abort();
    }
  }
  return 0;
}
