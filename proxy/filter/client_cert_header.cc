#include "proxy/filter/client_cert_header.h"

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace countersign::filter {

std::string XfccOf(const spiffe::SpiffeId& own, const spiffe::PeerSvid& peer) {
  return absl::StrCat("By=", own.ToString(), ";Hash=", absl::BytesToHexString(peer.digest),
                      ";Subject=\"\";URI=", peer.id.ToString());
}

std::string ClientCertOf(const spiffe::PeerSvid& peer) {
  return absl::StrCat(":", absl::Base64Escape(peer.der), ":");
}

void StripClaims(http::HeaderMap& headers) {
  headers.RemoveIf([](const http::Field& field) {
    switch (field.id) {
      case http::HeaderId::kXForwardedClientCert:
      case http::HeaderId::kClientCert:
      case http::HeaderId::kClientCertChain:
      case http::HeaderId::kCountersignReason:
      case http::HeaderId::kCountersignFlags:
      case http::HeaderId::kCountersignDownstream:
        return true;
      case http::HeaderId::kOther:
        return absl::StartsWith(field.name, "x-countersign-");
      default:
        return false;
    }
  });
}

}  // namespace countersign::filter
