// How the application learns who called: headers that carry the caller's proven identity.
#ifndef COUNTERSIGN_PROXY_FILTER_CLIENT_CERT_HEADER_H_
#define COUNTERSIGN_PROXY_FILTER_CLIENT_CERT_HEADER_H_

#include <string>

#include "api/spiffe/spiffe_id.h"
#include "api/spiffe/verifier.h"
#include "proxy/http/header_map.h"

namespace countersign::filter {

// The value of x-forwarded-client-cert in Envoy's form, as Istio's sidecars write it:
// `By=spiffe://…;Hash=…;Subject="";URI=spiffe://…`. Both ids have no byte that the form would have
// to escape: a SPIFFE ID has none.
std::string XfccOf(const spiffe::SpiffeId& own, const spiffe::PeerSvid& peer);

// The value of Client-Cert (RFC 9440, section 2.2): the leaf's DER as a byte sequence of structured
// fields (RFC 8941, section 3.3.5).
std::string ClientCertOf(const spiffe::PeerSvid& peer);

// The value of Client-Cert-Chain (RFC 9440, section 2.3): the intermediates of the path that was
// verified, from the one that signed the leaf upwards, as a list of byte sequences. Neither the
// leaf, which Client-Cert has, nor the trust anchor, which whoever verifies has. Empty where there
// are none: then the field is not sent.
std::string ClientCertChainOf(const spiffe::PeerSvid& peer);

// Takes away what claims to be an identity that we proved, or to be from another sidecar: the
// headers above, and every `x-countersign-*`.
void StripClaims(http::HeaderMap& headers);

}  // namespace countersign::filter

#endif  // COUNTERSIGN_PROXY_FILTER_CLIENT_CERT_HEADER_H_
