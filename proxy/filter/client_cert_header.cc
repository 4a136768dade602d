#include "proxy/filter/client_cert_header.h"

#include "absl/strings/escaping.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"

namespace countersign::filter {
namespace {

// RFC 8941, section 3.3.5.
std::string ByteSequence(absl::string_view bytes) {
  return absl::StrCat(":", absl::Base64Escape(bytes), ":");
}

}  // namespace

std::string XfccOf(const spiffe::SpiffeId& own, const spiffe::PeerSvid& peer) {
  return absl::StrCat("By=", own.ToString(), ";Hash=", absl::BytesToHexString(peer.digest),
                      ";Subject=\"\";URI=", peer.id.ToString());
}

std::string ClientCertOf(const spiffe::PeerSvid& peer) { return ByteSequence(peer.der); }

std::string ClientCertChainOf(const spiffe::PeerSvid& peer) {
  std::string list;
  for (const std::string& der : peer.intermediates) {
    absl::StrAppend(&list, list.empty() ? "" : ", ", ByteSequence(der));
  }
  return list;
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
