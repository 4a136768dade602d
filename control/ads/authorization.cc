#include "control/ads/authorization.h"

#include <openssl/err.h>
#include <openssl/pem.h>

#include <memory>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "api/spiffe/openssl_ptr.h"

namespace countersign::control::ads {
namespace {

struct FreeStack {
  void operator()(STACK_OF(X509) * stack) const { sk_X509_pop_free(stack, X509_free); }
};

constexpr size_t kMaxNodeIdBytes = 512;

// At most kMaxChain certificates, however many are sent.
std::vector<spiffe::X509Ptr> ParsePem(absl::string_view pem) {
  std::vector<spiffe::X509Ptr> certificates;
  spiffe::BioPtr bio(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())));
  while (bio != nullptr && certificates.size() <= spiffe::kMaxChain) {
    spiffe::X509Ptr certificate(PEM_read_bio_X509(bio.get(), nullptr, nullptr, nullptr));
    if (certificate == nullptr) {
      break;
    }
    certificates.push_back(std::move(certificate));
  }
  ERR_clear_error();
  return certificates;
}

}  // namespace

absl::StatusOr<spiffe::PeerSvid> VerifyPeer(absl::string_view leaf_pem, absl::string_view chain_pem,
                                            const spiffe::BundleSet& bundles,
                                            const spiffe::DenyList& deny_list, absl::Time now) {
  std::vector<spiffe::X509Ptr> leaf = ParsePem(leaf_pem);
  const auto refuse = [](spiffe::VerifyError error) {
    return absl::UnauthenticatedError(
        absl::StrCat("configuration is given only to a proxy with a valid SVID: ",
                     spiffe::VerifyErrorSentence(error)));
  };
  if (leaf.empty()) {
    return refuse(spiffe::VerifyError::kNoCertificate);
  }
  std::unique_ptr<STACK_OF(X509), FreeStack> untrusted(sk_X509_new_null());
  for (spiffe::X509Ptr& certificate : ParsePem(chain_pem)) {
    sk_X509_push(untrusted.get(), certificate.release());
  }
  spiffe::PeerSvid svid;
  const spiffe::VerifyError error =
      spiffe::Verify(leaf[0].get(), untrusted.get(), bundles, deny_list, now, &svid);
  if (error != spiffe::VerifyError::kNone) {
    return refuse(error);
  }
  return svid;
}

absl::StatusOr<std::string> AuthorizeNode(const registry::Model& model, const std::string& node_id,
                                          const spiffe::SpiffeId& identity) {
  if (node_id.size() > kMaxNodeIdBytes) {
    return absl::InvalidArgumentError("node.id: must be `NAMESPACE/NAME`");
  }
  if (node_id.empty()) {
    const std::vector<const registry::Workload*> own = model.FindWorkloads(identity);
    if (own.size() == 1) {
      return own[0]->Key();
    }
    return absl::PermissionDeniedError(
        own.empty() ? absl::StrCat("no workload has the identity ", identity.ToString(),
                                   ": define an ExternalWorkload with this serviceAccount")
                    : absl::StrCat(own.size(), " workloads have the identity ", identity.ToString(),
                                   ": start the proxy with --workload and --namespace"));
  }
  const registry::Workload* workload = model.FindWorkload(node_id);
  if (workload != nullptr && !identity.empty() && workload->identity == identity) {
    return node_id;
  }
  const std::string ns = node_id.substr(0, node_id.find('/'));
  if (workload == nullptr && absl::StrContains(identity.path(), absl::StrCat("/ns/", ns, "/"))) {
    return absl::PermissionDeniedError(
        absl::StrCat("there is no workload ", node_id,
                     ": define it as an ExternalWorkload, or correct the "
                     "proxy's --workload and --namespace"));
  }
  return absl::PermissionDeniedError(absl::StrCat("the identity ", identity.ToString(),
                                                  " may not have the configuration of ", node_id,
                                                  ": it belongs to another identity"));
}

}  // namespace countersign::control::ads
